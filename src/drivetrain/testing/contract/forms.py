"""The required form of a prediction, for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import Prediction, Predictions, Task

METRICS: dict[Task, tuple[str, ...]] = {
    Task.CLASSIFICATION: ("accuracy", "f1"),
    Task.MULTILABEL_CLASSIFICATION: ("map", "f1"),
    Task.DETECTION: ("map", "map_50", "map_75"),
    Task.ORIENTED_DETECTION: ("map", "map_50", "map_75"),
    Task.INSTANCE_SEGMENTATION: ("map", "map_50", "mask_map"),
    Task.SEMANTIC_SEGMENTATION: ("miou", "dice"),
    Task.KEYPOINT_DETECTION: ("map", "keypoint_map"),
    Task.ANOMALY: ("image_auroc", "image_f1"),
    Task.DEPTH: ("delta1", "abs_rel"),
}
_FLOATS = ("scores", "boxes", "keypoints", "corners", "probabilities", "depth_map", "anomaly_map")


def assert_form(prediction: Prediction, task: Task, classes: int) -> None:
    """Check that the fields of the task are present, with the right shapes, dtypes and ranges."""
    height, width = prediction.size
    assert height >= 1
    assert width >= 1
    _FORMS[task](prediction, classes)
    for name in _FLOATS:
        value = getattr(prediction, name)
        if value is not None:
            assert value.dtype == np.float32, name
            assert np.isfinite(value).all(), name
    if prediction.boxes is not None and len(prediction.boxes):
        x0, y0, x1, y1 = prediction.boxes.T
        assert (x0 <= x1).all()
        assert (y0 <= y1).all()
        assert min(x0.min(), y0.min()) >= 0
        assert x1.max() <= width
        assert y1.max() <= height


def _labelled(prediction: Prediction, classes: int) -> int:
    labels, scores = prediction.labels, prediction.scores
    assert labels is not None
    assert scores is not None
    assert labels.dtype == np.int64
    assert labels.shape == scores.shape
    assert labels.ndim == 1
    assert ((labels >= 0) & (labels < classes)).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    return len(labels)


def _classification(prediction: Prediction, classes: int) -> None:
    assert _labelled(prediction, classes) == 1
    _probabilities(prediction, classes)
    assert prediction.probabilities is not None
    assert abs(float(prediction.probabilities.sum()) - 1) < 1e-3
    assert prediction.labels is not None
    assert prediction.labels[0] == prediction.probabilities.argmax()


def _multilabel(prediction: Prediction, classes: int) -> None:
    _labelled(prediction, classes)
    _probabilities(prediction, classes)


def _probabilities(prediction: Prediction, classes: int) -> None:
    assert prediction.probabilities is not None
    assert prediction.probabilities.shape == (classes,)
    assert ((prediction.probabilities >= 0) & (prediction.probabilities <= 1)).all()


def _objects(prediction: Prediction, classes: int) -> None:
    count = _labelled(prediction, classes)
    assert prediction.scores is not None
    assert (np.diff(prediction.scores) <= 0).all(), "objects are in order of descending score"
    assert prediction.boxes is not None
    assert prediction.boxes.shape == (count, 4)


def _instances(prediction: Prediction, classes: int) -> None:
    _objects(prediction, classes)
    assert prediction.masks is not None
    assert prediction.labels is not None
    assert prediction.masks.dtype == np.bool_
    assert prediction.masks.shape == (len(prediction.labels), *prediction.size)


def _oriented(prediction: Prediction, classes: int) -> None:
    count = _labelled(prediction, classes)
    assert prediction.corners is not None
    assert prediction.corners.shape == (count, 4, 2)


def _keypoints(prediction: Prediction, classes: int) -> None:
    _objects(prediction, classes)
    assert prediction.keypoints is not None
    assert prediction.labels is not None
    assert prediction.keypoints.ndim == 3
    assert prediction.keypoints.shape[::2] == (len(prediction.labels), 3)


def _class_map(prediction: Prediction, classes: int) -> None:
    found = prediction.class_map
    assert found is not None
    assert found.dtype == np.int64
    assert found.shape == prediction.size
    assert ((found >= 0) & (found < classes)).all()


def _anomaly(prediction: Prediction, classes: int) -> None:
    del classes
    assert prediction.anomaly_score is not None
    assert 0.0 <= prediction.anomaly_score <= 1.0
    for name, dtype in (("anomaly_map", np.float32), ("anomaly_mask", np.bool_)):
        value: NDArray[Any] | None = getattr(prediction, name)
        if value is not None:
            assert value.dtype == dtype, name
            assert value.shape == prediction.size, name


def _depth(prediction: Prediction, classes: int) -> None:
    del classes
    assert prediction.depth_map is not None
    assert prediction.depth_map.shape == prediction.size


_FORMS: dict[Task, Callable[[Prediction, int], None]] = {
    Task.CLASSIFICATION: _classification,
    Task.MULTILABEL_CLASSIFICATION: _multilabel,
    Task.DETECTION: _objects,
    Task.ORIENTED_DETECTION: _oriented,
    Task.INSTANCE_SEGMENTATION: _instances,
    Task.SEMANTIC_SEGMENTATION: _class_map,
    Task.KEYPOINT_DETECTION: _keypoints,
    Task.ANOMALY: _anomaly,
    Task.DEPTH: _depth,
}
_COMPARED = (
    *("labels", "scores", "boxes", "masks", "keypoints", "corners", "probabilities", "class_map", "depth_map"),
    *("anomaly_score", "anomaly_map", "anomaly_mask"),
)

_PIXEL_DECISIONS = ("masks", "class_map", "anomaly_mask")
_ROUNDING = 1e-3
_AGREEMENT = 0.995


def assert_same_predictions(ours: Predictions, theirs: Predictions, within: float) -> None:
    """Check for the same images in the same order with the same answers; numbers may differ by ``within``.

    Boxes, corners and keypoints may differ by a thousand times that, as they are in pixels. If numbers may be
    rounded (``within`` of 0.001 or more), one pixel in 200 may be decided differently.
    """
    assert [item.path for item in ours] == [item.path for item in theirs]
    assert ours.label_names == theirs.label_names
    for one, other in zip(ours, theirs, strict=True):
        assert one.size == other.size
        for name in _COMPARED:
            left, right = getattr(one, name), getattr(other, name)
            assert (left is None) == (right is None), name
            if name in _PIXEL_DECISIONS and left is not None and within >= _ROUNDING:
                assert np.mean(left == right) >= _AGREEMENT, f"{name} of {one.path}"
            elif left is not None:
                pixels = name in ("boxes", "corners", "keypoints")
                limit = within * 1000 if pixels else within
                np.testing.assert_allclose(left, right, rtol=0, atol=limit, err_msg=f"{name} of {one.path}")
