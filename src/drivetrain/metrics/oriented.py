"""COCO average precision of oriented boxes, with the overlap of rotated quadrilaterals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.metrics._outcome import Evaluation, Pairs
from drivetrain.metrics._ranking import precision_by_recall
from drivetrain.types import Prediction, Sample

Quads = NDArray[np.float64]

# COCO's grid, computed as in pycocotools: the last bits decide which side of a step a recall falls on
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100


def oriented_boxes(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``map``, ``map_50``, ``map_75`` and ``mar_100`` of oriented boxes, by the COCO protocol.

    The truth is the first ring of each polygon (four corners; without polygons, the boxes); crowd objects are ignored
    as COCO ignores them. Ties in score are settled in the order of ``image_id`` (then of the path).

    Raises:
        DataError: a prediction has no corners, a true object does not have four, or the numbers of the parts differ.
    """
    tallies = [_Tally() for _ in label_names]
    for sample, prediction in sorted(pairs, key=lambda pair: (pair[0].image_id, pair[0].path)):
        truth, true_labels, crowd = _truth(sample)
        found, labels, scores = _found(prediction)
        for part, path in ((true_labels, sample.path), (labels, prediction.path)):
            if part.size and not 0 <= part.min() <= part.max() < len(label_names):
                raise DataError(f"a label of {path!r} has no name; there are names for 0..{len(label_names) - 1}.")
        overlaps = quad_overlaps(found, truth, crowd, where=labels[:, None] == true_labels)
        order = np.argsort(-scores, kind="stable")
        for label in np.union1d(true_labels, labels):
            mine, ranked = np.flatnonzero(true_labels == label), order[labels[order] == label][:_MOST]
            tallies[label].add(overlaps[ranked[:, None], mine], crowd[mine], scores[ranked])
    curves = [tally.curves() for tally in tallies]
    precision, recall = (np.stack(part, axis=-1) for part in zip(*curves, strict=True))
    values = {
        "map": _mean(precision),
        "map_50": _mean(precision[0]),
        "map_75": _mean(precision[5]),
        "mar_100": _mean(recall),
    }
    per_class = {"map": {name: _mean(precision[..., label]) for label, name in enumerate(label_names)}}
    undefined = ["map, because there is no true object"] if np.isnan(values["map"]) else []
    tables = {
        "label_names": list(label_names),
        "precision_recall": precision_by_recall(precision[0], label_names),
    }
    return Evaluation(values, per_class, tables, undefined)


def quad_overlaps(
    first: Quads, second: Quads, crowd: NDArray[np.bool_] | None = None, where: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Intersection over union of convex quadrilaterals.

    Args:
        first: ``(N, 4, 2)`` xy corners, in either direction of rotation.
        second: ``(M, 4, 2)``, likewise.
        crowd: ``(M,)`` where to divide by the area of the first instead of by the union.
        where: ``(N, M)`` the pairs to compute; the others are 0.

    Returns:
        ``(N, M)`` in 0..1; 0 where a quadrilateral has no area.
    """
    overlaps = np.zeros((len(first), len(second)))
    first, second = _clockwise(first), _clockwise(second)
    low_a, high_a, low_b, high_b = first.min(1), first.max(1), second.min(1), second.max(1)
    near = (np.minimum(high_a[:, None], high_b) > np.maximum(low_a[:, None], low_b)).all(axis=2)
    rows, columns = np.nonzero(near if where is None else near & where)
    if not rows.size:
        return overlaps
    shared = _intersections(first[rows], second[columns])
    area_a, area_b = _areas(first)[rows], _areas(second)[columns]
    union = area_a + area_b - shared
    if crowd is not None:
        union = np.where(crowd[columns], area_a, union)
    overlaps[rows, columns] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


@dataclass(slots=True)
class _Image:
    """Matches of one class in one image, highest score first."""

    scores: NDArray[np.float32]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


class _Tally:
    """The matches of one class over all images."""

    def __init__(self) -> None:
        self._images: list[_Image] = []
        self._true = 0

    def add(self, overlaps: NDArray[np.float64], crowd: NDArray[np.bool_], scores: NDArray[np.float32]) -> None:
        """Match greedily, highest score first, each threshold separately; ``overlaps`` is ``(found, true)``."""
        self._true += int((~crowd).sum())
        hit = np.zeros((len(_THRESHOLDS), len(scores)), np.bool_)
        ignored = np.zeros_like(hit)
        free = np.ones((len(_THRESHOLDS), len(crowd)), np.bool_)
        steps = np.arange(len(_THRESHOLDS))
        wanted = [~crowd, crowd] if crowd.any() else [~crowd]  # a true object takes precedence over a crowd
        limits = np.minimum(_THRESHOLDS, 1 - 1e-10)[:, None]
        # skip detections without sufficient overlap
        for index in np.flatnonzero(overlaps.max(axis=1, initial=0.0) >= limits[0, 0]):
            row = overlaps[index]
            fits = (row >= limits) & (free | crowd)
            for kind in wanted:
                open_ = fits & kind & ~hit[:, index, None]
                # among equal overlaps the last one wins, as pycocotools does
                best = len(crowd) - 1 - np.argmax(np.where(open_, row, -1.0)[:, ::-1], axis=1)
                taken = open_[steps, best]
                free[steps[taken], best[taken]] = False
                hit[:, index] |= taken
                ignored[taken, index] = crowd[best[taken]]
        self._images.append(_Image(scores, hit, ignored))

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision ``(10, 101)`` and recall ``(10,)``, NaN without truth."""
        precision = np.full((len(_THRESHOLDS), len(_RECALLS)), np.nan)
        recall = np.full(len(_THRESHOLDS), np.nan)
        if not self._true:
            return precision, recall
        order = np.argsort(-np.concatenate([image.scores for image in self._images]), kind="stable")
        hit = np.concatenate([image.hit for image in self._images], axis=1)[:, order]
        ignored = np.concatenate([image.ignored for image in self._images], axis=1)[:, order]
        right, wrong = np.cumsum(hit & ~ignored, axis=1), np.cumsum(~hit & ~ignored, axis=1)
        precision[:], recall[:] = 0.0, 0.0
        if order.size:
            reached = right / self._true
            recall[:] = reached[:, -1]
            exact = right / (right + wrong + np.spacing(1))
            envelope = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
            for step, (line, values) in enumerate(zip(reached, envelope, strict=True)):
                places = np.searchsorted(line, _RECALLS, side="left")
                inside = places < len(line)
                precision[step, inside] = values[places[inside]]
        return precision, recall


def _truth(sample: Sample) -> tuple[Quads, NDArray[np.int64], NDArray[np.bool_]]:
    if sample.polygons is not None:
        for index, rings in enumerate(sample.polygons):
            if not rings or rings[0].shape != (4, 2):
                raise DataError(f"object {index} of {sample.path!r} does not have a single ring of four corners.")
        quads = np.array([rings[0] for rings in sample.polygons], np.float64).reshape(-1, 4, 2)
    else:
        boxes = np.zeros((0, 4)) if sample.boxes is None else sample.boxes.astype(np.float64)
        quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    labels = np.zeros(0, np.int64) if sample.box_labels is None else sample.box_labels
    crowd = np.zeros(len(quads), np.bool_) if sample.iscrowd is None else sample.iscrowd
    if not len(labels) == len(crowd) == len(quads):
        raise DataError(
            f"{sample.path!r} has {len(quads)} objects, {len(labels)} labels and {len(crowd)} values of iscrowd."
        )
    return quads, labels, crowd


def _found(prediction: Prediction) -> tuple[Quads, NDArray[np.int64], NDArray[np.float32]]:
    if prediction.corners is None:
        raise DataError(f"the prediction for {prediction.path!r} has no corners.")
    labels, scores = prediction.labels, prediction.scores
    if labels is None or scores is None or not len(labels) == len(scores) == len(prediction.corners):
        raise DataError(f"the prediction for {prediction.path!r} needs one label and one score for each oriented box.")
    if not np.isfinite(scores).all():
        raise DataError(f"the prediction for {prediction.path!r} has scores that are not finite.")
    return prediction.corners.astype(np.float64), labels, scores


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _signed_areas(quads: Quads) -> NDArray[np.float64]:
    following = np.roll(quads, -1, axis=1)
    cross = quads[..., 0] * following[..., 1] - following[..., 0] * quads[..., 1]
    return np.asarray(cross.sum(axis=1) / 2)


def _areas(quads: Quads) -> NDArray[np.float64]:
    return np.abs(_signed_areas(quads))


def _clockwise(quads: Quads) -> Quads:
    """The corners in the direction that gives a positive signed area."""
    quads = np.asarray(quads, np.float64).reshape(-1, 4, 2)
    return np.where((_signed_areas(quads) < 0)[:, None, None], quads[:, ::-1], quads)


def _intersections(first: Quads, second: Quads) -> NDArray[np.float64]:
    """The shared area of each pair ``(P, 4, 2)``.

    The corners of the shared polygon are the corners of each quadrilateral inside the other and the intersections of
    their edges; sorted by angle about their mean, the shoelace formula gives the area.
    """
    origin = first.mean(axis=1, keepdims=True)  # centre on zero, so that large coordinates lose no precision
    first, second = first - origin, second - origin
    crossings, crossed = _crossings(first, second)
    points = np.concatenate([first, second, crossings], axis=1)
    valid = np.concatenate([_inside(first, second), _inside(second, first), crossed], axis=1)
    count = valid.sum(axis=1)
    kept = np.where(valid[..., None], points, 0.0)
    middle = kept.sum(axis=1) / np.maximum(count, 1)[:, None]
    about = np.where(valid[..., None], points - middle[:, None], 0.0)
    angle = np.where(valid, np.arctan2(about[..., 1], about[..., 0]), np.inf)
    order = np.argsort(angle, axis=1)
    about = np.take_along_axis(about, order[..., None], axis=1)
    # missing corners were sorted to the end; replace them by the first corner, which adds no area
    absent = np.arange(points.shape[1]) >= count[:, None]
    about = np.where(absent[..., None], about[:, :1], about)
    following = np.roll(about, -1, axis=1)
    cross = about[..., 0] * following[..., 1] - following[..., 0] * about[..., 1]
    return np.where(count >= 3, np.abs(cross.sum(axis=1)) / 2, 0.0)


def _inside(points: Quads, quads: Quads) -> NDArray[np.bool_]:
    """Whether each of the points ``(P, 4, 2)`` is inside its quadrilateral, edges included."""
    edges = np.roll(quads, -1, axis=1) - quads
    offsets = points[:, :, None] - quads[:, None]
    side = edges[:, None, :, 0] * offsets[..., 1] - edges[:, None, :, 1] * offsets[..., 0]
    scale = np.abs(edges).sum(axis=(1, 2))[:, None, None]
    return np.asarray((side >= -1e-12 * scale * scale).all(axis=2))


def _crossings(first: Quads, second: Quads) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where edge i of the first meets edge j of the second: ``(P, 16, 2)``, and whether it does."""
    start, other = first[:, :, None], second[:, None]
    along, across = np.roll(first, -1, axis=1)[:, :, None] - start, np.roll(second, -1, axis=1)[:, None] - other
    offset = other - start
    slant = along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]
    parallel = slant == 0
    slant = np.where(parallel, 1.0, slant)
    on_first = (offset[..., 0] * across[..., 1] - offset[..., 1] * across[..., 0]) / slant
    on_second = (offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]) / slant
    meets = ~parallel & (on_first >= 0) & (on_first <= 1) & (on_second >= 0) & (on_second <= 1)
    points = start + np.where(meets, on_first, 0.0)[..., None] * along
    return points.reshape(len(first), 16, 2), meets.reshape(len(first), 16)
