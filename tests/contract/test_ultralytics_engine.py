"""The Ultralytics engine passes the contract, with a small classifier and a small detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from expected_failures import expected

from drivetrain.engines.ultralytics import SPEC
from drivetrain.runs.record import read_history
from drivetrain.testing import EngineContract
from drivetrain.testing.contract.base import Trained
from drivetrain.testing.data import coco
from drivetrain.types import Task


class _Ultralytics(EngineContract):
    __test__ = False

    spec = SPEC
    engine_arg = ("cos_lr", True)
    observed: ClassVar = {"batch_size": 9, "learning_rate": 0.003}

    def make_model(self) -> Any:
        from drivetrain.engines.ultralytics.containment import ultralytics

        return ultralytics().YOLO(f"{self.model_name}.yaml")


@pytest.mark.slow
class TestUltralyticsClassification(_Ultralytics):
    __test__ = True

    model_name = "yolo11n-cls"
    options: ClassVar = {"image_size": 32, "batch_size": 8}
    expected_failures = expected("ultralytics-cls")


@pytest.mark.slow
class TestUltralyticsDetection(_Ultralytics):
    __test__ = True

    model_name = "yolo11n"
    task = Task.DETECTION
    options: ClassVar = {"image_size": 64, "batch_size": 6}
    expected_failures = expected("ultralytics-detect")

    def test_a_resumed_run_equals_an_uninterrupted_one(self, trained: Trained, dataset: Path, tmp_path: Path) -> None:
        """A barely trained detector finds nothing, so the losses are compared as well."""
        super().test_a_resumed_run_equals_an_uninterrupted_one(trained, dataset, tmp_path)
        resumed = read_history(tmp_path / "work" / "metrics.csv")[-1].metrics["train/loss"]
        assert resumed == pytest.approx(trained.result.history[-1].metrics["train/loss"], abs=self.same)

    def make_other_dataset(self, root: Path) -> Path:
        """The same scenes, with one label renamed."""
        folder = coco(root, seed=1)
        for file in (folder / "annotations").iterdir():
            file.write_text(file.read_text(encoding="utf-8").replace('"circle"', '"disc"'), encoding="utf-8")
        return folder
