"""Measuring how far an artefact's predictions differ from those of the model it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import OptionError, near
from drivetrain.images.matching import overlaps
from drivetrain.types import ParityReport, Prediction, Predictions, Task

DEFAULT_TOLERANCE: dict[str, float] = {
    "probabilities": 1e-4,
    "scores": 1e-3,
    "boxes": 0.5,
    "box_iou": 0.01,
    "mask_iou": 0.05,
    "keypoints": 0.5,
    "corners": 0.5,
    "class_map": 0.01,
    "depth_map": 1e-2,
    "anomaly_score": 1e-3,
    "anomaly_map": 2e-2,
    "anomaly_mask": 0.02,
    "unmatched": 0.02,
}
"""Largest allowed difference at f32. ``box_iou`` and ``mask_iou`` are 1 - IoU of matched objects; ``class_map`` and
``anomaly_mask`` the fraction of pixels that differ; ``unmatched`` the fraction of objects without a partner; ``boxes``,
``corners`` and ``keypoints`` are in pixels; ``depth_map`` is relative to the largest depth."""

FP16_FACTOR = 20.0
"""Factor on the tolerances for weights rounded to half precision; the graph itself is compared at f32 first."""

FP16_TOLERANCE: dict[str, float] = {"probabilities": 0.1}
"""Tolerances where the factor would be too small: an undecided answer amplifies the rounding. With a trained
EfficientNet-Lite0, one of eight digits moved by 0.045; in PyTorch the same rounding of unfolded weights gave 0.012."""

_MATCH_IOU = 0.5
_CLEAR_SCORE = 0.05


def compare_predictions(
    task: Task,
    reference: Predictions,
    candidate: Predictions,
    tolerance: Mapping[str, float] | None = None,
    *,
    factor: float = 1.0,
) -> ParityReport:
    """Compare two series of predictions about the same images.

    Args:
        task: the task of the model.
        reference: the predictions of the model.
        candidate: the predictions of the artefact.
        tolerance: quantity -> allowed difference, overriding :data:`DEFAULT_TOLERANCE`.
        factor: multiplies the default tolerances (not those given).

    Returns:
        The report; its ``agreement`` is the fraction of images with the same decision.

    Raises:
        OptionError: ``tolerance`` names a quantity that does not exist.
    """
    unknown = sorted(set(tolerance or {}) - set(DEFAULT_TOLERANCE))
    if unknown:
        raise OptionError(
            f"tolerance={unknown[0]!r} is not compared.{near(unknown[0], DEFAULT_TOLERANCE)} "
            f"Allowed: {', '.join(DEFAULT_TOLERANCE)}."
        )
    limits = {**{name: value * factor for name, value in DEFAULT_TOLERANCE.items()}, **(tolerance or {})}
    differences: dict[str, list[float]] = {}
    agreed = 0
    for ours, theirs in zip(reference, candidate, strict=False):
        found = _compare(task, ours, theirs)
        agreed += bool(found.pop("agrees", 1.0))
        for name, value in found.items():
            differences.setdefault(name, []).append(value)
    largest = {name: max(values) for name, values in differences.items()}
    count = len(reference)
    same_length = count == len(candidate) and count > 0
    passed = same_length and bool(largest) and all(value <= limits[name] for name, value in largest.items())
    return ParityReport(
        images=tuple(prediction.path for prediction in candidate),
        max_difference=largest,
        tolerance={name: limits[name] for name in largest},
        agreement=agreed / count if count else 0.0,
        passed=passed,
        details={
            "counts": {"reference": count, "candidate": len(candidate)},
            "mean_difference": {name: float(np.mean(values)) for name, values in differences.items()},
        },
    )


def distance(task: Task, reference: Prediction, candidate: Prediction) -> float:
    """How far an answer is from another about the same image: 0 for the same, towards 1 the further they are apart."""
    found = _compare(task, reference, candidate)
    shares = [_share_of(value, DEFAULT_TOLERANCE[name]) for name, value in found.items() if name != "agrees"]
    return float(np.mean(shares)) if shares else 0.0


def _share_of(difference: float, tolerance: float) -> float:
    """1/2 where a difference is as large as rounding weights may make it."""
    return 1.0 if not np.isfinite(difference) else difference / (difference + FP16_FACTOR * tolerance)


def _compare(task: Task, ours: Prediction, theirs: Prediction) -> dict[str, float]:
    """Quantity -> difference for one image, and ``agrees``. NaN differences become infinite, so they never pass."""
    if task.is_classification:
        found = _compare_classes(ours, theirs)
    elif task is Task.SEMANTIC_SEGMENTATION:
        differing = _share(ours.class_map, theirs.class_map)
        found = {"class_map": differing, "agrees": float(differing <= 0.01)}
    elif task is Task.DEPTH:
        found = {"depth_map": _relative(ours.depth_map, theirs.depth_map)}
    elif task is Task.ANOMALY:
        found = _compare_anomaly(ours, theirs)
    else:
        found = _compare_objects(ours, theirs)
    return {name: float(value) if np.isfinite(value) else float("inf") for name, value in found.items()}


def _compare_classes(ours: Prediction, theirs: Prediction) -> dict[str, float]:
    same = ours.labels is not None and theirs.labels is not None and np.array_equal(ours.labels, theirs.labels)
    return {"probabilities": _largest(ours.probabilities, theirs.probabilities), "agrees": float(same)}


def _compare_anomaly(ours: Prediction, theirs: Prediction) -> dict[str, float]:
    found: dict[str, float] = {}
    if ours.anomaly_score is not None or theirs.anomaly_score is not None:
        first = float("nan") if ours.anomaly_score is None else ours.anomaly_score
        second = float("nan") if theirs.anomaly_score is None else theirs.anomaly_score
        found = {"anomaly_score": abs(first - second), "agrees": float((first >= 0.5) == (second >= 0.5))}
    if ours.anomaly_map is not None or theirs.anomaly_map is not None:
        found["anomaly_map"] = _largest(ours.anomaly_map, theirs.anomaly_map)
    if ours.anomaly_mask is not None and theirs.anomaly_mask is not None:
        found["anomaly_mask"] = _share(ours.anomaly_mask, theirs.anomaly_mask)
    return found


def _compare_objects(ours: Prediction, theirs: Prediction) -> dict[str, float]:
    """Compare objects matched by label and overlap; objects with a tiny score may appear or vanish with rounding."""
    counts = (_clear(ours), _clear(theirs))
    total = max(counts)
    if total == 0 and not (_count(ours) and _count(theirs)):
        return {"unmatched": 0.0, "agrees": 1.0}
    pairs = _match(ours, theirs)
    pairs = [(a, b) for a, b in pairs if max(_score(ours, a), _score(theirs, b)) >= _CLEAR_SCORE] or pairs[:10]
    missing = max(total - len(pairs), 0) / total if total else 0.0
    found = {"unmatched": missing, "agrees": float(missing == 0.0 and counts[0] == counts[1])}
    if not pairs:
        return found
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    found["scores"] = _largest(_at(ours.scores, first), _at(theirs.scores, second))
    for name in ("boxes", "keypoints", "corners"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        if mine is not None or other is not None:
            found[name] = _largest(_at(mine, first), _at(other, second), columns=2 if name == "keypoints" else None)
    if ours.boxes is not None and theirs.boxes is not None:
        overlap = box_iou(ours.boxes[first], theirs.boxes[second])[np.arange(len(pairs)), np.arange(len(pairs))]
        found["box_iou"] = float(1 - overlap.min())
    if ours.masks is not None or theirs.masks is not None:
        found["mask_iou"] = _mask_difference(_at(ours.masks, first), _at(theirs.masks, second))
    return found


def _match(ours: Prediction, theirs: Prediction) -> list[tuple[int, int]]:
    """Pairs of the same object, matched by best overlap, each object once; in the order of our objects."""
    mine, other = _extent(ours), _extent(theirs)
    if mine is None or other is None or not len(mine) or not len(other):
        return []
    overlap = box_iou(mine, other)
    if ours.labels is not None and theirs.labels is not None:
        overlap = np.where(ours.labels[:, None] == theirs.labels[None, :], overlap, -1.0)
    # ties go to the closer score and points: detectors without suppression may return the same box twice
    if ours.scores is not None and theirs.scores is not None:
        overlap = overlap - 1e-3 * np.abs(ours.scores[:, None] - theirs.scores[None, :])
    if ours.keypoints is not None and theirs.keypoints is not None:
        apart = np.abs(ours.keypoints[:, None, :, :2] - theirs.keypoints[None, :, :, :2]).mean(axis=(2, 3))
        overlap = overlap - 1e-6 * apart
    pairs = []
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(flat), overlap.shape[1])
        if overlap[row, column] < _MATCH_IOU:
            break
        if np.isfinite(overlap[row, column]):
            pairs.append((row, column))
            overlap[row, :] = overlap[:, column] = -np.inf
    return sorted(_once(pairs))


def _once(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    rows: set[int] = set()
    columns: set[int] = set()
    kept = []
    for row, column in pairs:
        if row not in rows and column not in columns:
            kept.append((row, column))
            rows.add(row)
            columns.add(column)
    return kept


def _extent(prediction: Prediction) -> NDArray[Any] | None:
    """Axis-aligned boxes around the objects."""
    if prediction.boxes is not None:
        return prediction.boxes
    points = prediction.corners if prediction.corners is not None else prediction.keypoints
    if points is None:
        return None
    return np.concatenate([points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)], axis=1)


def box_iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """``(N, M)`` intersection over union of ``(N, 4)`` and ``(M, 4)`` xyxy boxes; 1 for equal boxes without area."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    equal = np.abs(first[:, None] - second[None]).max(axis=2, initial=0.0) < 1e-3
    return np.where(equal, 1.0, overlaps(first, second))


def _largest(first: Any, second: Any, columns: int | None = None) -> float:
    if first is None or second is None or np.shape(first) != np.shape(second):
        return float("inf")
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    difference = np.abs(a - b)[..., :columns]
    return float(difference.max(initial=0.0))


def _relative(first: Any, second: Any) -> float:
    scale = 1.0 if first is None else max(float(np.max(np.abs(first), initial=0.0)), 1e-6)
    return _largest(first, second) / scale


def _share(first: Any, second: Any) -> float:
    if first is None or second is None or np.shape(first) != np.shape(second):
        return float("inf")
    return float(np.mean(np.asarray(first) != np.asarray(second)))


def _mask_difference(first: Any, second: Any) -> float:
    if first is None or second is None or np.shape(first) != np.shape(second):
        return float("inf")
    overlap = np.logical_and(first, second).sum(axis=(1, 2))
    union = np.logical_or(first, second).sum(axis=(1, 2))
    return float(1 - np.where(union > 0, overlap / np.maximum(union, 1), 1.0).min(initial=1.0))


def _at(values: Any, rows: NDArray[Any]) -> Any:
    return None if values is None else values[rows]


def _count(prediction: Prediction) -> int:
    return 0 if prediction.scores is None else len(prediction.scores)


def _clear(prediction: Prediction) -> int:
    return 0 if prediction.scores is None else int((prediction.scores >= _CLEAR_SCORE).sum())


def _score(prediction: Prediction, row: int) -> float:
    return 1.0 if prediction.scores is None else float(prediction.scores[row])
