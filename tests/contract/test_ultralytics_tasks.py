"""Every Ultralytics task from training to the artefacts, each with a small model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain import Engine, load
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data
from drivetrain.testing.contract.forms import METRICS, assert_form
from drivetrain.types import Predictions, Task

COUNTS = {"train": 8, "val": 4, "test": 4}
OPTIONS: dict[str, Any] = {"batch_size": 4, "image_size": 64, "learning_rate": 0.002}


def _classes(root: Path) -> Path:
    return data.class_folders(root, subsets=COUNTS, size=64)


def _objects(root: Path) -> Path:
    return data.coco(root, subsets=COUNTS)


def _points(root: Path) -> Path:
    return data.coco(root, subsets=COUNTS, keypoints=("left", "right", "top"))


def _bars(root: Path) -> Path:
    return data.oriented(root, subsets=COUNTS)


def _maps(root: Path) -> Path:
    return data.class_maps(root, subsets=COUNTS)


def _planes(root: Path) -> Path:
    return data.depth(root, subsets=COUNTS)


#: Detection and classification train in other fast tests.
EACH_TIME = {"yolo11n-seg"}

MODELS: list[tuple[str, Task, Callable[[Path], Path]]] = [
    ("yolo11n", Task.DETECTION, _objects),
    ("yolov8n", Task.DETECTION, _objects),
    ("yolo26n", Task.DETECTION, _objects),
    ("rtdetr-resnet50", Task.DETECTION, _objects),
    ("yolo11n-seg", Task.INSTANCE_SEGMENTATION, _objects),
    ("yolo26n-seg", Task.INSTANCE_SEGMENTATION, _objects),
    ("yolo11n-cls", Task.CLASSIFICATION, _classes),
    ("yolo11n-pose", Task.KEYPOINT_DETECTION, _points),
    ("yolo26n-pose", Task.KEYPOINT_DETECTION, _points),
    ("yolo11n-obb", Task.ORIENTED_DETECTION, _bars),
    ("yolo26n-obb", Task.ORIENTED_DETECTION, _bars),
    ("yolo26n-sem", Task.SEMANTIC_SEGMENTATION, _maps),
    ("yolo26n-depth", Task.DEPTH, _planes),
]


CASES = [pytest.param(*row, id=row[0], marks=() if row[0] in EACH_TIME else pytest.mark.slow) for row in MODELS]


@pytest.mark.parametrize(("name", "task", "make"), CASES)
def test_a_task_from_training_to_artefacts(
    name: str,
    task: Task,
    make: Callable[[Path], Path],
    tmp_path: Path,
    export_without_the_trace: Callable[[Engine, str, str], None],
) -> None:
    source = make(tmp_path / "data")
    engine = _engine(name, source, tmp_path / "work")
    result = engine.train(2, **OPTIONS)
    assert [row.epoch for row in result.history] == [0, 1]
    assert engine.task is task

    images = [str(path) for path in _test_images(source)]
    answers = engine.predict(images)
    for item in answers:
        assert_form(item, task, len(engine.label_names))
    metrics = engine.test()
    assert set(METRICS[task]) <= set(metrics)

    for format in ("openvino", "onnx"):  # noqa: A001  (the field's word)
        artifact = engine.export(format)
        assert artifact.parity["passed"] is True
        _assert_close(load(artifact.path, precision="f32").predict(images), answers)
    if task is not Task.DEPTH:
        artifact = load(engine.work_dir / "artifacts" / "fp32_openvino_model", precision="f32")
        exported = Engine(artifact, source, task=task.value)
        assert {key: exported.test()[key] for key in METRICS[task]} == pytest.approx(
            {key: metrics[key] for key in METRICS[task]}, abs=1e-3
        )

    export_without_the_trace(engine, "ultralytics", name)

    again = _engine(name, source, tmp_path / "work").train(3, **OPTIONS, resume=True)
    assert [row.epoch for row in again.history] == [0, 1, 2]
    assert read_record(tmp_path / "work")["status"] == "finished"


def _engine(name: str, source: Path, work_dir: Path) -> Engine:
    engine = Engine(f"ultralytics:{name}", source, work_dir=work_dir)
    engine.progress = SilentProgress()
    return engine


def _test_images(source: Path) -> list[Path]:
    root = source if source.is_dir() else source.parent
    found = [path for path in sorted(root.rglob("*.png")) if "SegmentationClass" not in path.parts]
    return [path for path in found if "test" in path.parts or path.name.startswith("test_")]


def _assert_close(ours: Predictions, theirs: Predictions) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        order = _order(one.boxes, other.boxes)
        for field in ("boxes", "corners", "keypoints"):
            _near(getattr(one, field), getattr(other, field), 0.05, order)
        _near(one.scores, other.scores, 1e-3, order)
        for field in ("probabilities", "depth_map"):
            _near(getattr(one, field), getattr(other, field), 1e-3)
        if one.class_map is not None:
            assert other.class_map is not None
            assert np.mean(one.class_map == other.class_map) > 0.995


def _order(ours: Any, theirs: Any) -> Any:
    """Which of their objects is each of ours: after two epochs scores of some are alike to the last digit."""
    if ours is None or theirs is None or len(ours) != len(theirs) or not len(ours):
        return slice(None)
    order = np.abs(ours[:, None] - theirs[None]).max(axis=2).argmin(axis=1)
    return order if len(set(order.tolist())) == len(order) else slice(None)


def _near(one: Any, other: Any, within: float, order: Any = slice(None)) -> None:
    assert (one is None) == (other is None)
    if one is not None:
        np.testing.assert_allclose(one, other[order], rtol=0, atol=within)
