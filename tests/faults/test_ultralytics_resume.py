"""Ultralytics training that is killed resumes from its last complete epoch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain import Engine
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_history, read_record
from drivetrain.testing import data

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal, sys
from drivetrain import Engine

def die(trainer):
    if trainer.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Engine("ultralytics:yolo11n-cls", sys.argv[1], work_dir=sys.argv[2]).train(
    4, batch_size=6, image_size=32, callbacks={"on_train_batch_end": die}
)
"""


def test_a_killed_training_goes_on(tmp_path: Path) -> None:
    source = data.class_folders(tmp_path / "data", subsets={"train": 6, "val": 3, "test": 3})
    command = [sys.executable, "-c", SCRIPT, str(source), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == -9, done.stderr
    assert [row.epoch for row in read_history(tmp_path / "work" / "metrics.csv")] == [0, 1]
    engine = Engine("ultralytics:yolo11n-cls", source, work_dir=tmp_path / "work")
    engine.progress = SilentProgress()
    result = engine.train(5, batch_size=6, image_size=32, resume=True)
    assert [row.epoch for row in result.history] == [0, 1, 2, 3, 4]
    record = read_record(tmp_path / "work")
    assert record["status"] == "finished"
    assert len(record["parts"]) == 2
    assert 0 <= engine.test()["accuracy"] <= 1
