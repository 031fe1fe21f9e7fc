"""The comparison of predictions: what passes and what does not, for every kind of answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivetrain.errors import OptionError
from drivetrain.export.compare import box_iou, compare_predictions
from drivetrain.types import ParityReport, Prediction, Predictions, Task

SIZE = (40, 60)


def _compare(task: Task, first: Any, second: Any, **options: Any) -> ParityReport:
    series = [
        Predictions(value if isinstance(value, list) else [value], task=task, label_names=("a", "b"))
        for value in (first, second)
    ]
    return compare_predictions(task, *series, **options)


def _classified(values: list[float]) -> Prediction:
    probabilities = np.array(values, np.float32)
    label = np.array([probabilities.argmax()])
    return Prediction("p", SIZE, labels=label, scores=probabilities[label], probabilities=probabilities)


def _objects() -> Prediction:
    boxes = np.array([[1, 2, 21, 22], [30, 5, 50, 35], [1, 2, 21, 22]], np.float32)
    masks = np.zeros((3, *SIZE), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    points = np.concatenate([boxes.reshape(3, 2, 2), np.ones((3, 2, 1), np.float32)], axis=2)
    scores = np.array([0.9, 0.8, 0.3], np.float32)
    return Prediction("p", SIZE, labels=np.array([0, 1, 1]), scores=scores, boxes=boxes, masks=masks, keypoints=points)


def test_probabilities_within_and_beyond() -> None:
    ours = _classified([0.3, 0.7])
    near = _compare(Task.CLASSIFICATION, ours, _classified([0.30005, 0.69995]))
    assert near.passed
    assert near.agreement == 1.0
    assert near.max_difference["probabilities"] == pytest.approx(5e-5, rel=0.01)
    far = _compare(Task.CLASSIFICATION, [ours, ours], [ours, _classified([0.7, 0.3])])
    assert not far.passed
    assert far.agreement == 0.5
    assert far.images == ("p", "p")


def test_tolerances_can_be_given_and_are_checked() -> None:
    ours, theirs = _classified([0.3, 0.7]), _classified([0.301, 0.699])
    assert not _compare(Task.CLASSIFICATION, ours, theirs).passed
    assert _compare(Task.CLASSIFICATION, ours, theirs, tolerance={"probabilities": 0.01}).passed
    assert _compare(Task.CLASSIFICATION, ours, theirs, factor=20).passed
    with pytest.raises(OptionError, match="'probabilities'"):
        _compare(Task.CLASSIFICATION, ours, theirs, tolerance={"probabilitis": 1.0})


@pytest.mark.parametrize("wrong", [[float("nan"), 0.7], [0.3], []])
def test_nan_and_other_shapes_never_pass(wrong: list[float]) -> None:
    theirs = replace(_classified([0.3, 0.7]), probabilities=np.array(wrong, np.float32))
    assert not _compare(Task.CLASSIFICATION, _classified([0.3, 0.7]), theirs, factor=1e9).passed


def test_nothing_to_compare_never_passes() -> None:
    ours = _classified([0.3, 0.7])
    assert not _compare(Task.CLASSIFICATION, [], []).passed
    assert not _compare(Task.CLASSIFICATION, [ours, ours], [ours]).passed
    assert not _compare(Task.ANOMALY, Prediction("p", SIZE), Prediction("p", SIZE)).passed


def test_objects_are_matched_whatever_their_order() -> None:
    ours = _objects()
    order = [2, 0, 1]
    shuffled = Prediction(
        "p",
        SIZE,
        labels=ours.labels[order],
        scores=ours.scores[order] + np.float32(5e-4),
        boxes=ours.boxes[order] + np.float32(0.05),
        masks=ours.masks[order],
        keypoints=ours.keypoints[order],
    )
    report = _compare(Task.INSTANCE_SEGMENTATION, ours, shuffled)
    assert report.passed
    assert report.agreement == 1.0
    assert report.max_difference["boxes"] == pytest.approx(0.05, rel=0.01)
    assert report.max_difference["unmatched"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": lambda v: v + 3},
        {"labels": lambda v: 1 - v},
        {"scores": lambda v: v - np.float32(0.1)},
        {"masks": lambda v: np.roll(v, 4, axis=2)},
        {"keypoints": lambda v: v + 2},
        {"masks": lambda v: None},
    ],
)
def test_changed_objects_do_not_pass(change: dict[str, Any]) -> None:
    ours = _objects()
    changed = {name: function(getattr(ours, name)) for name, function in change.items()}
    assert not _compare(Task.INSTANCE_SEGMENTATION, ours, replace(ours, **changed)).passed


def test_a_missing_object_does_not_pass() -> None:
    ours = _objects()
    fewer = Prediction("p", SIZE, labels=ours.labels[:2], scores=ours.scores[:2], boxes=ours.boxes[:2])
    report = _compare(Task.DETECTION, replace(ours, masks=None, keypoints=None), fewer)
    assert not report.passed
    assert report.max_difference["unmatched"] == pytest.approx(1 / 3)
    nothing = Prediction("p", SIZE, labels=ours.labels[:0], scores=ours.scores[:0], boxes=ours.boxes[:0])
    assert not _compare(Task.DETECTION, ours, nothing).passed
    assert not _compare(Task.DETECTION, nothing, ours).passed
    assert _compare(Task.DETECTION, nothing, nothing).passed


def test_dense_answers() -> None:
    classes = np.zeros(SIZE, np.int64)
    few, many = classes.copy(), classes.copy()
    few[0, :10] = 1
    many[:10] = 1
    ours = Prediction("p", SIZE, class_map=classes)
    assert _compare(Task.SEMANTIC_SEGMENTATION, ours, Prediction("p", SIZE, class_map=few)).passed
    assert not _compare(Task.SEMANTIC_SEGMENTATION, ours, Prediction("p", SIZE, class_map=many)).passed
    depth = np.linspace(1, 9, 2400, dtype=np.float32).reshape(SIZE)
    ours = Prediction("p", SIZE, depth_map=depth)
    assert _compare(Task.DEPTH, ours, Prediction("p", SIZE, depth_map=depth * np.float32(1.001))).passed
    assert not _compare(Task.DEPTH, ours, Prediction("p", SIZE, depth_map=depth * np.float32(1.1))).passed


def test_anomalies() -> None:
    heat = np.zeros(SIZE, np.float32)
    ours = Prediction("p", SIZE, anomaly_score=0.5, anomaly_map=heat, anomaly_mask=heat > 0.5)
    assert _compare(Task.ANOMALY, ours, replace(ours, anomaly_score=0.5004)).passed
    flipped = _compare(Task.ANOMALY, ours, replace(ours, anomaly_score=0.4996))
    assert flipped.agreement == 0.0
    for change in (
        {"anomaly_score": 0.7},
        {"anomaly_map": heat + 1},
        {"anomaly_mask": heat < 1},
        {"anomaly_map": None},
    ):
        assert not _compare(Task.ANOMALY, ours, replace(ours, **change)).passed


def test_box_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [3, 3, 3, 3]])
    np.testing.assert_allclose(box_iou(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
