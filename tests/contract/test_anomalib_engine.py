"""The Anomalib engine passes the contract, with a student and its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engines.anomalib import SPEC
from drivetrain.testing import EngineContract
from drivetrain.testing.data import mvtec
from drivetrain.types import Task

pytest.importorskip("anomalib")


@pytest.mark.slow
class TestAnomalib(EngineContract):
    spec = SPEC
    model_name = "anomalib:Stfpm"
    model_args = {"pretrained": False, "layers": ["layer1"]}  # noqa: RUF012  (not changed)
    task = Task.ANOMALY
    options = {"image_size": 64, "batch_size": 4, "num_workers": 0}  # noqa: RUF012  (not changed)
    engine_arg = ("accumulate_grad_batches", 2)
    observed = {"batch_size": 3}  # noqa: RUF012  (not changed)

    def make_model(self) -> Any:
        from anomalib.models import Padim

        size = Padim.configure_pre_processor((64, 64))
        return Padim(pre_trained=False, layers=["layer1"], n_features=20, pre_processor=size, visualizer=False)

    def make_other_dataset(self, root: Path) -> Path:
        """The same kind of images, with a differently named defect."""
        folder = mvtec(root, seed=1)
        (folder / "test" / "spot").rename(folder / "test" / "stain")
        (folder / "ground_truth" / "spot").rename(folder / "ground_truth" / "stain")
        return folder
