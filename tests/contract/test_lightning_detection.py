"""The Lightning engine keeps the contract with a detector, a small one of torchvision."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from expected_failures import expected

from drivetrain.engines.lightning import SPEC
from drivetrain.testing import EngineContract
from drivetrain.testing.data import coco
from drivetrain.types import Task


@pytest.mark.slow
class TestTorchvisionDetection(EngineContract):
    spec = SPEC
    model_name = "torchvision:ssdlite320_mobilenet_v3_large"
    task = Task.DETECTION
    options: ClassVar = {"image_size": 64, "batch_size": 4, "num_workers": 0}
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("torchvision")

    @pytest.fixture(autouse=True)
    def _tidy(self, tmp_path: Path) -> Iterator[None]:
        """A state with the optimiser has fifty megabytes."""
        yield
        shutil.rmtree(tmp_path)

    def make_model(self) -> Any:
        from torchvision.models.detection import ssdlite320_mobilenet_v3_large

        return ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)

    def make_other_dataset(self, root: Path) -> Path:
        """The same scenes, with one label of another name."""
        folder = coco(root, seed=1)
        for file in (folder / "annotations").iterdir():
            file.write_text(file.read_text(encoding="utf-8").replace('"circle"', '"disc"'), encoding="utf-8")
        return folder
