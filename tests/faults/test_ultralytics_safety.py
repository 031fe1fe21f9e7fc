"""A checkpoint must not execute anything; and the messages about damaged ones."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest

from drivetrain import Engine
from drivetrain.errors import CheckpointError, UnsafeCheckpointError
from drivetrain.testing import data


class _Evil:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def _craft(path: Path, marker: Path) -> Path:
    """A checkpoint that claims to be Ultralytics' and runs a command when it is unpickled."""
    content = {"model": _Evil(str(marker)), "train_args": {}, "mark": "ultralytics.nn.tasks"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


@pytest.mark.parametrize("engine", [None, "ultralytics"])
def test_a_crafted_checkpoint_runs_nothing(tmp_path: Path, engine: str | None) -> None:
    marker = tmp_path / "was-run"
    path = _craft(tmp_path / "evil.pt", marker)
    folder = data.class_folders(tmp_path / "data", subsets={"train": 2, "val": 1, "test": 1})
    with pytest.raises(UnsafeCheckpointError, match="nothing was run"):
        Engine(path, folder, work_dir=tmp_path / "work", engine=engine).predict()
    assert not marker.exists()


@pytest.mark.parametrize("way", ["checkpoint", "pretrained"])
def test_weights_to_begin_with_are_read_as_safely(tmp_path: Path, way: str) -> None:
    marker = tmp_path / "was-run"
    path = _craft(tmp_path / "evil.pt", marker)
    folder = data.class_folders(tmp_path / "data", subsets={"train": 2, "val": 1, "test": 1})
    given = {"model_args": {"pretrained": str(path)}} if way == "pretrained" else {}
    engine = Engine("ultralytics:yolo11n-cls", folder, work_dir=tmp_path / "work", **given)
    with pytest.raises(UnsafeCheckpointError, match="nothing was run"):
        engine.train(1, batch_size=2, image_size=32, **({"checkpoint": path} if way == "checkpoint" else {}))
    assert not marker.exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(b"PK\x03\x04 this is nothing")
    with pytest.raises(CheckpointError, match=r"damaged\.pt"):
        Engine(path, engine="ultralytics").predict([tmp_path / "none.png"])
