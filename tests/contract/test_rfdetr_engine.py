"""The RF-DETR engine passes the contract, with the smallest detector at a small size."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from expected_failures import expected

from drivetrain.engines.rfdetr import SPEC
from drivetrain.testing import EngineContract
from drivetrain.testing.data import coco
from drivetrain.types import Task

#: One group of few queries: with the default, training takes its time for 3,900 of them.
SMALL: dict[str, Any] = {"dec_layers": 1, "group_detr": 1, "num_queries": 20, "num_select": 20}


@pytest.mark.slow
class TestRFDETRDetection(EngineContract):
    spec = SPEC
    model_name = "rfdetr-nano"
    model_args = SMALL
    task = Task.DETECTION
    options: ClassVar = {
        "image_size": 64,
        "batch_size": 4,
        "num_workers": 0,
        "engine_args": {"grad_accum_steps": 1, "multi_scale": False},
    }
    engine_arg = ("clip_max_norm", 0.5)
    observed: ClassVar = {"batch_size": 3, "learning_rate": 0.003}
    expected_failures = expected("rfdetr")

    @pytest.fixture(autouse=True)
    def _tidy(self, tmp_path: Path) -> Iterator[None]:
        """Delete the state, which is half a gigabyte with the optimiser."""
        yield
        shutil.rmtree(tmp_path)

    def make_model(self) -> Any:
        from rfdetr import RFDETRNano

        return RFDETRNano(pretrain_weights=None, device="cpu", **SMALL)

    def make_other_dataset(self, root: Path) -> Path:
        """The same scenes, with one label renamed."""
        folder = coco(root, seed=1)
        for file in (folder / "annotations").iterdir():
            file.write_text(file.read_text(encoding="utf-8").replace('"circle"', '"disc"'), encoding="utf-8")
        return folder
