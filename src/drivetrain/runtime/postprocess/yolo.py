"""Decoders of Ultralytics' heads: boxes, masks, keypoints, oriented boxes, class maps and depth."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.postprocess.base import Decoder, Outputs, boxes_to_original, to_original
from drivetrain.runtime.postprocess.detection import non_maximum_suppression
from drivetrain.runtime.postprocess.maps import MapSampler
from drivetrain.types import ImageSpec, Prediction

_LEAST_SCORE = 0.001
"""Scores below this are ignored; thousands of such boxes would only cost time."""

_MOST_CANDIDATES = 30_000
"""How many boxes, highest score first, take part in suppression."""

_SCORE_DECIMALS = 5
"""Neighbours often have equal scores up to the last bits, where runtimes differ; rounding makes all choose the same."""


class YoloDecoder(Decoder):
    """Objects, highest score first; scores are rounded to five decimals, and ties are in the model's order.

    ``decoder_args``:

    - ``layout``: ``"anchors"``: ``(1, 4 + C + extra, N)`` with centre, size and the score of each class, which needs
      suppression (default); ``"objects"``: ``(1, N, 6 + extra)`` with corners, score and label, which needs none;
      ``"queries"``: ``(1, N, 6)`` with centre and size in 0..1, score and label.
    - ``kind``: what the extra columns are: ``"boxes"`` (none, default), ``"masks"`` (coefficients of the prototypes in
      the second output), ``"keypoints"`` or ``"corners"`` (an angle).
    - ``keypoints``: ``[K, 2 or 3]``.
    - ``iou`` (0.7): a box that overlaps a better one of its class by more than this is dropped.
    - ``confidence_threshold`` (0.25) and ``max_detections`` (300). A threshold below 0.001 returns everything, for
      metrics that rank it: in the layout ``"anchors"`` a box is then an object for each class with a score of
      at least 0.001, not only for its best class.
    """

    arguments: ClassVar[frozenset[str]] = frozenset(
        {"layout", "kind", "keypoints", "iou", "confidence_threshold", "max_detections"}
    )
    takes_confidence: ClassVar[bool] = True

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        self._layout = _one_of("layout", decoder_args.get("layout", "anchors"), ("anchors", "objects", "queries"))
        kinds = ("boxes", "masks", "keypoints", "corners")
        self._kind = _one_of("kind", decoder_args.get("kind", "boxes"), kinds)
        points, values = decoder_args.get("keypoints", (0, 3))
        self._keypoints = (int(points), int(values))
        self._iou = float(decoder_args.get("iou", 0.7))
        threshold = float(decoder_args.get("confidence_threshold", 0.25))
        self._every_label, self._threshold = threshold < _LEAST_SCORE, max(threshold, _LEAST_SCORE)
        self._most = int(decoder_args.get("max_detections", 300))

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The objects at or above the threshold, highest score first."""
        values = list(outputs.values())
        boxes, scores, labels, extra = self._candidates(np.asarray(values[0][0], np.float32))
        scores = scores.round(_SCORE_DECIMALS)
        order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
        boxes, scores, labels, extra = boxes[order], scores[order], labels[order], extra[order]
        if self._layout == "anchors":
            kept = self._suppress(boxes, labels, extra)
        else:
            kept = np.arange(min(len(boxes), self._most))
        boxes, scores, labels, extra = boxes[kept], scores[kept], labels[kept], extra[kept]
        found: dict[str, Any] = {"labels": labels, "scores": scores}
        if self._kind == "corners":
            found["corners"] = to_original(_turned_corners(boxes, extra[:, -1]), self.image_spec, size)
            return Prediction(path, size, **found)
        found["boxes"] = boxes_to_original(_upright_corners(boxes), self.image_spec, size)
        if self._kind == "masks":
            prototypes = np.asarray(values[1][0], np.float32)
            found["masks"] = place_masks(extra, prototypes, found["boxes"], self.image_spec, size)
        elif self._kind == "keypoints":
            found["keypoints"] = self._points(extra, size)
        return Prediction(path, size, **found)

    def _candidates(
        self, output: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Boxes as centre and size in pixels of the model input, scores, labels and the extra columns."""
        if self._layout == "anchors":
            count = len(self.label_names)
            by_class = output[4 : 4 + count]
            if self._every_label:
                keep, labels = np.nonzero(by_class.transpose() >= self._threshold)
            else:
                keep = np.flatnonzero(by_class.max(axis=0) >= self._threshold)
                labels = by_class[:, keep].argmax(axis=0).astype(np.int64)
            return output[:4, keep].T, by_class[labels, keep], labels, output[4 + count :, keep].T
        rows = output[output[:, 4] >= self._threshold]
        boxes = rows[:, :4]
        if self._layout == "queries":
            height, width = self.image_spec.size
            boxes = boxes * np.array([width, height, width, height], np.float32)
        elif self._kind != "corners":
            boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        return boxes, rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:]

    def _suppress(
        self, boxes: NDArray[np.float32], labels: NDArray[np.int64], extra: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        if self._kind == "corners":
            return _suppress_turned(boxes, extra[:, -1], labels, self._iou, self._most)
        return non_maximum_suppression(_upright_corners(boxes), labels, self._iou, most=self._most)

    def _points(self, extra: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        count, values = self._keypoints
        points = extra[:, : count * values].reshape(len(extra), count, values)
        seen = points[:, :, 2:3] if values == 3 else np.ones((len(extra), count, 1), np.float32)
        return np.concatenate([to_original(points[:, :, :2], self.image_spec, size), seen], axis=2)


class ClassMapDecoder(Decoder):
    """The class of each pixel, from ``(1, C, height, width)`` logits at the size of the model input.

    The logits are interpolated before taking the best, so borders are as smooth as the model's output.
    """

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The best class of each pixel of the original image."""
        logits = np.asarray(next(iter(outputs.values()))[0], np.float32)
        sampler = MapSampler(self.image_spec, size, (logits.shape[1], logits.shape[2]))
        best = sampler.sample(logits[0])
        classes = np.zeros(size, np.int64)
        for number in range(1, len(logits)):
            values = sampler.sample(logits[number])
            better = values > best
            classes[better] = number
            best[better] = values[better]
        return Prediction(path, size, class_map=classes)


class DepthDecoder(Decoder):
    """A depth for each pixel, from ``(1, 1, height, width)`` at the size of the model input, in its unit."""

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The depth of each pixel of the original image."""
        depth = np.asarray(next(iter(outputs.values()))[0, 0], np.float32)
        sampler = MapSampler(self.image_spec, size, (depth.shape[0], depth.shape[1]))
        return Prediction(path, size, depth_map=sampler.sample(depth))


def place_masks(
    coefficients: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    boxes: NDArray[np.float32],
    spec: ImageSpec,
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Masks at the size of the original image, each cropped to its box.

    Args:
        coefficients: ``(N, M)`` coefficients of each object.
        prototypes: ``(M, h, w)`` over the model input.
        boxes: ``(N, 4)`` xyxy in pixels of the original image.
        spec: how the image became the model input.
        size: ``(height, width)`` of the original image.

    Returns:
        ``(N, height, width)``.
    """
    masks = np.zeros((len(boxes), *size), np.bool_)
    count, height, width = prototypes.shape
    sampler = MapSampler(spec, size, (height, width))
    flat = prototypes.reshape(count, -1)
    for number, (x1, y1, x2, y2) in enumerate(np.rint(boxes).astype(np.int64)):
        if x2 <= x1 or y2 <= y1:
            continue
        logits = (coefficients[number] @ flat).reshape(height, width)
        rows, columns = slice(int(y1), int(y2)), slice(int(x1), int(x2))
        masks[number, rows, columns] = sampler.sample(logits, rows, columns) > 0
    return masks


def _upright_corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and size to xyxy."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _turned_corners(boxes: NDArray[np.float32], angles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre, size and angle (radians, clockwise) to ``(N, 4, 2)``, clockwise from the top left of the upright box."""
    across = np.stack([np.cos(angles), np.sin(angles)], axis=1) * boxes[:, 2:3] / 2
    down = np.stack([-np.sin(angles), np.cos(angles)], axis=1) * boxes[:, 3:4] / 2
    centre = boxes[:, :2]
    return np.stack([centre - across - down, centre + across - down, centre + across + down, centre - across + down], 1)


def _suppress_turned(
    boxes: NDArray[np.float32], angles: NDArray[np.float32], labels: NDArray[np.int64], iou: float, most: int
) -> NDArray[np.int64]:
    """Like :func:`~drivetrain.runtime.postprocess.detection.non_maximum_suppression`, for rotated boxes.

    The overlap is that of Gaussians with the extent of the boxes, as in the model's own training.
    """
    a, b, c = _covariance(boxes, angles)
    kept: list[int] = []
    left = np.arange(len(boxes))
    while left.size and len(kept) < most:
        first, rest = int(left[0]), left[1:]
        kept.append(first)
        overlap = _gaussian_overlap(boxes, (a, b, c), first, rest)
        left = rest[~((overlap >= iou) & (labels[rest] == labels[first]))]
    return np.array(kept, np.int64)


def _covariance(
    boxes: NDArray[np.float32], angles: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    wide, tall = np.asarray(boxes[:, 2], np.float64) ** 2 / 12, np.asarray(boxes[:, 3], np.float64) ** 2 / 12
    cosine, sine = np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))
    return (
        wide * cosine**2 + tall * sine**2,
        wide * sine**2 + tall * cosine**2,
        (wide - tall) * cosine * sine,
    )


def _gaussian_overlap(
    boxes: NDArray[np.float32], spread: tuple[NDArray[np.float64], ...], first: int, rest: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 - the Hellinger distance between one box and others."""
    tiny = 1e-7
    a, b, c = (part[first] + part[rest] for part in spread)
    x, y = (np.asarray(boxes[rest, axis] - boxes[first, axis], np.float64) for axis in (0, 1))
    area = a * b - c**2
    apart = (a * y**2 + b * x**2 - 2 * c * x * y) / (area + tiny) / 4
    own = np.clip(spread[0] * spread[1] - spread[2] ** 2, 0, None)
    ratio = area / (4 * np.sqrt(own[first] * own[rest]) + tiny)
    distance = np.clip(apart + 0.5 * np.log(ratio + tiny), tiny, 100.0)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + tiny))


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}; allowed: {', '.join(allowed)}")
    return str(value)
