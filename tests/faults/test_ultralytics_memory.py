"""Ultralytics training that runs out of memory continues with smaller steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data

pytestmark = pytest.mark.slow


def test_ultralytics_goes_on_with_half_the_batch_and_the_same_steps(tmp_path: Path) -> None:
    import torch

    accumulated: list[tuple[int, int]] = []
    happened: list[bool] = []

    def begin(trainer: Any) -> None:
        if trainer.epoch == 1 and not happened:
            happened.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        accumulated.append((trainer.batch_size, trainer.accumulate))

    folder = data.class_folders(tmp_path / "toys")
    engine = Engine("ultralytics:yolo11n-cls", folder, work_dir=tmp_path / "work", device="cpu")
    engine.progress = SilentProgress()
    options: dict[str, Any] = {"batch_size": 12, "image_size": 32, "adaptive_bs": "safe"}
    result = engine.train(3, **options, callbacks={"on_train_batch_start": begin}, engine_args={"warmup_epochs": 0})
    assert [row.epoch for row in result.history] == [0, 1, 2]
    assert "with batch_size=6 instead of 12 and the gradients of 2 steps accumulated." in result.notes[-1]
    used = read_record(tmp_path / "work")["effective_options"]
    assert (used["batch_size"], used["nbs"]) == (6, 12)
    assert set(accumulated) == {(12, 1), (6, 2)}
