"""The decoder of detectors that output boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.postprocess.base import Decoder, Outputs, activate, boxes_to_original, to_original
from drivetrain.runtime.postprocess.regions import masks_of_regions, points_of_heatmaps
from drivetrain.types import ImageSpec, Prediction


class BoxesDecoder(Decoder):
    """Boxes with labels and scores, highest score first.

    ``decoder_args``:

    - ``boxes``: name of the output ``(1, N, 4)`` or ``(N, 4)``; a fifth column is the score.
    - ``scores``: name of ``(1, N)`` scores, or of ``(1, N, C)`` values of each class; not needed with a fifth column.
    - ``labels``: name of the ``(1, N)`` label numbers; only for scores without classes. All 0 if not given.
    - ``format``: ``"xyxy"`` (default) or ``"cxcywh"``.
    - ``normalised``: the coordinates are 0..1 of the model input (default false: its pixels).
    - ``activation``: activation of the scores: ``"none"`` (default), ``"sigmoid"`` or ``"softmax"``.
    - ``no_object``: the ``"first"`` or ``"last"`` class means "nothing"; none by default.
    - ``all_classes``: each class of a box is a separate answer, as in DETR models (default: only the best one).
    - ``label_offset``: subtracted from the label numbers (default 0).
    - ``nms``: ``{"iou": 0.5, "class_agnostic": false}`` to suppress overlapping boxes (default: no suppression).
    - ``masks``: name of ``(N, 1, m, m)`` probabilities over each box; none by default.
    - ``heatmaps``: name of ``(N, K, m, m)`` logits of the keypoints over each box; none by default.
    - ``score_decimals``: scores are rounded to this many decimals, and equal ones ordered by the position of the box,
      so that runtimes that differ in the last bits give the same order (default: no rounding).
    - ``confidence_threshold`` (0.25) and ``max_detections`` (300).

    ``masks`` and ``heatmaps`` need one label per box, so ``scores`` without classes.
    """

    arguments: ClassVar[frozenset[str]] = frozenset(
        {"boxes", "scores", "labels", "format", "normalised", "activation", "no_object", "all_classes"}
        | {"label_offset", "nms", "masks", "heatmaps", "score_decimals", "confidence_threshold", "max_detections"}
    )
    takes_confidence: ClassVar[bool] = True

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        args = decoder_args
        self._boxes: str = args["boxes"]
        self._scores: str | None = args.get("scores")
        self._labels: str | None = args.get("labels")
        self._centred = _one_of("format", args.get("format", "xyxy"), ("xyxy", "cxcywh")) == "cxcywh"
        self._normalised = bool(args.get("normalised", False))
        self._activation = str(args.get("activation", "none"))
        activate(np.zeros(1, np.float32), self._activation)
        self._no_object = _one_of("no_object", args.get("no_object"), (None, "first", "last"))
        self._all_classes = bool(args.get("all_classes", False))
        self._label_offset = int(args.get("label_offset", 0))
        self._nms: Mapping[str, Any] | None = args.get("nms")
        self._masks: str | None = args.get("masks")
        self._heatmaps: str | None = args.get("heatmaps")
        self._decimals: int | None = args.get("score_decimals")
        self._threshold = float(args.get("confidence_threshold", 0.25))
        self._most = int(args.get("max_detections", 300))

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The boxes at or above the threshold, highest score first."""
        boxes, scores, labels = self._candidates(outputs)
        keep = np.flatnonzero(scores >= self._threshold)
        if self._decimals is None:
            keep = keep[np.argsort(-scores[keep], kind="stable")]
        else:
            scores = scores.round(self._decimals)
            keep = keep[_by_score_and_place(scores[keep], self._corners(boxes[keep]))]
        if self._nms is not None:
            agnostic = bool(self._nms.get("class_agnostic", False))
            best = self._corners(boxes[keep])
            kept = non_maximum_suppression(best, None if agnostic else labels[keep], float(self._nms.get("iou", 0.5)))
            keep = keep[kept]
        keep = keep[: self._most]
        corners = self._corners(boxes[keep])
        found: dict[str, Any] = {"boxes": boxes_to_original(corners, self.image_spec, size)}
        if self._masks is not None:
            placed = to_original(corners.reshape(-1, 2, 2), self.image_spec, size).reshape(-1, 4)
            found["masks"] = masks_of_regions(np.asarray(outputs[self._masks], np.float32)[keep, 0], placed, size)
        if self._heatmaps is not None:
            found["keypoints"] = self._points(np.asarray(outputs[self._heatmaps], np.float32)[keep], corners, size)
        return Prediction(path, size, labels=labels[keep], scores=scores[keep], **found)

    def _points(
        self, heatmaps: NDArray[np.float32], corners: NDArray[np.float32], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        points = points_of_heatmaps(heatmaps, corners)
        points[..., :2] = to_original(points[..., :2], self.image_spec, size)
        return points

    def _candidates(self, outputs: Outputs) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int64]]:
        boxes = outputs[self._boxes]
        boxes = boxes.reshape(-1, boxes.shape[-1])
        if self._scores is None:
            raw = boxes[:, 4]
        else:
            values = outputs[self._scores]
            raw = values[0] if values.ndim == 3 or (values.ndim == 2 and values.shape[0] == 1) else values
        boxes = boxes[:, :4]
        scores = activate(raw, self._activation)
        if scores.ndim == 2:
            return self._by_class(boxes, scores)
        if self._labels is None:
            return boxes, scores, np.zeros(len(scores), np.int64)
        return boxes, scores, outputs[self._labels].reshape(-1).astype(np.int64) - self._label_offset

    def _by_class(
        self, boxes: NDArray[Any], scores: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int64]]:
        if self._no_object == "first":
            scores = scores[:, 1:]
        elif self._no_object == "last":
            scores = scores[:, :-1]
        if self._all_classes:
            rows, columns = np.nonzero(scores >= self._threshold)
            return boxes[rows], scores[rows, columns], columns.astype(np.int64) - self._label_offset
        best = scores.argmax(axis=1).astype(np.int64)
        return boxes, scores[np.arange(len(best)), best], best - self._label_offset

    def _corners(self, boxes: NDArray[Any]) -> NDArray[np.float32]:
        """Corners (xyxy) in pixels of the model input."""
        boxes = np.asarray(boxes, np.float32)
        if self._centred:
            half = boxes[:, 2:] / 2
            boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        if self._normalised:
            height, width = self.image_spec.size
            boxes = boxes * np.array([width, height, width, height], np.float32)
        return boxes


def _by_score_and_place(scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """By descending score; ties from the top, then from the left, in whole pixels."""
    places = np.rint(boxes)
    order: NDArray[np.int64] = np.lexsort((places[:, 3], places[:, 2], places[:, 0], places[:, 1], -scores))
    return order


def non_maximum_suppression(
    boxes: NDArray[np.float32], labels: NDArray[np.int64] | None, iou: float, *, most: int | None = None
) -> NDArray[np.int64]:
    """Which of the boxes, in order of descending score, are not suppressed by a better one of the same label.

    Args:
        boxes: ``(N, 4)`` xyxy.
        labels: ``(N,)``, or ``None`` to ignore labels.
        iou: a box that overlaps a kept one by more than this is dropped.
        most: the maximum number to keep.

    Returns:
        Ascending indices into ``boxes``.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    left = np.arange(len(boxes))
    while left.size and (most is None or len(kept) < most):
        first, rest = int(left[0]), left[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        overlap = np.prod(np.clip(high - low, 0, None), axis=1)
        covered = overlap > iou * np.maximum(areas[first] + areas[rest] - overlap, 1e-12)
        if labels is not None:
            covered &= labels[rest] == labels[first]
        left = rest[~covered]
    return np.array(kept, np.int64)


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}; allowed: {', '.join(map(str, allowed))}")
    return value
