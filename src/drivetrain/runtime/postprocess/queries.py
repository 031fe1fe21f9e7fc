"""The decoder of models whose queries each output a box, scores for all classes, and a mask or keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.postprocess.base import Decoder, Outputs, boxes_to_original, sigmoid, to_original
from drivetrain.runtime.postprocess.maps import MapSampler
from drivetrain.types import ImageSpec, Prediction

_FINDABLE = 2
_PRECISION = slice(4, 7)
_TINY = 1e-12


class QueriesDecoder(Decoder):
    """Objects, highest score first; each class of a query is a separate answer, as in DETR models.

    ``decoder_args``:

    - ``boxes``: name of the output ``(1, Q, 4)``: centre and size in 0..1 of the model input.
    - ``scores``: name of the ``(1, Q, C)`` logits of each class.
    - ``no_object``: whether the last class means "nothing" (default false).
    - ``masks``: name of ``(1, Q, h, w)`` logits over the model input; none by default.
    - ``keypoints``: name of ``(1, Q, L * K, D)`` values: x and y in 0..1, the logit of being found, another one, and
      three numbers for the precision of the position; none by default. ``points_per_label`` gives ``L`` and ``K``.
    - ``points_per_label``: how many of the ``K`` keypoints each of the first ``L`` labels has.
    - ``trace_alpha``: how much uncertain keypoints lower the score of an object (default 0: not at all).
    - ``confidence_threshold`` (0.25) and ``max_detections`` (300).
    """

    arguments: ClassVar[frozenset[str]] = frozenset(
        {"boxes", "scores", "no_object", "masks", "keypoints", "points_per_label", "trace_alpha"}
        | {"confidence_threshold", "max_detections"}
    )
    takes_confidence: ClassVar[bool] = True

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        args = decoder_args
        self._boxes, self._scores = str(args["boxes"]), str(args["scores"])
        self._no_object = bool(args.get("no_object", False))
        self._masks: str | None = args.get("masks")
        self._keypoints: str | None = args.get("keypoints")
        self._points: Sequence[int] = [int(count) for count in args.get("points_per_label", ())]
        self._alpha = float(args.get("trace_alpha", 0.0))
        self._threshold = float(args.get("confidence_threshold", 0.25))
        self._most = int(args.get("max_detections", 300))

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The objects at or above the threshold, highest score first."""
        logits = np.asarray(outputs[self._scores][0], np.float32)
        values = sigmoid(logits[:, :-1] if self._no_object else logits)
        best = np.argsort(-values, axis=None, kind="stable")[: self._most]
        rows, labels = np.unravel_index(best, values.shape)
        ranks = scores = values[rows, labels]
        points = self._points_of(outputs, rows, labels)
        if points is not None and self._alpha:
            ranks = scores * self._certainty(points, labels)
            scores = np.minimum(ranks, 1).astype(np.float32)
        order = np.argsort(-ranks, kind="stable")
        order = order[scores[order] >= self._threshold]
        rows, labels = rows[order], labels[order]
        found: dict[str, Any] = {"labels": labels.astype(np.int64), "scores": scores[order]}
        found["boxes"] = boxes_to_original(self._corners(outputs, rows), self.image_spec, size)
        if self._masks is not None:
            found["masks"] = self._masks_of(outputs[self._masks][0][rows], size)
        if points is not None:
            found["keypoints"] = self._placed(points[order], labels, size)
        return Prediction(path, size, **found)

    def _corners(self, outputs: Outputs, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        boxes = np.asarray(outputs[self._boxes][0], np.float32)[rows]
        half = boxes[:, 2:] / 2
        height, width = self.image_spec.size
        corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        return corners * np.array([width, height, width, height], np.float32)

    def _masks_of(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
        masks = np.zeros((len(logits), *size), np.bool_)
        sampler = MapSampler(self.image_spec, size, (logits.shape[1], logits.shape[2]))
        for number, values in enumerate(np.asarray(logits, np.float32)):
            masks[number] = sampler.sample(values) > 0
        return masks

    def _points_of(
        self, outputs: Outputs, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """``(N, K, D)`` raw values of the keypoints of each answer, without those of other labels."""
        if self._keypoints is None:
            return None
        raw = np.asarray(outputs[self._keypoints][0], np.float32)
        by_label = raw.reshape(len(raw), len(self._points), max(self._points), raw.shape[-1])
        return by_label[rows, np.minimum(labels, len(self._points) - 1)]

    def _has(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(N, K)`` which of the keypoints belong to the label of each answer."""
        counts = np.zeros(max(len(self.label_names), len(self._points)), np.int64)
        counts[: len(self._points)] = self._points
        return np.arange(max(self._points))[None] < counts[labels][:, None]

    def _certainty(self, points: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """The factor on the score of each answer: the mean trace of the covariance of its keypoints, damped."""
        first, between, second = np.moveaxis(points[..., _PRECISION], -1, 0)
        parts = [-2 * first, -2 * second, 2 * np.log(np.maximum(np.abs(between), _TINY)) - 2 * first - 2 * second]
        trace = np.logaddexp.reduce(parts, axis=0)
        weight = np.log(np.maximum(sigmoid(points[..., _FINDABLE]), _TINY))
        weight = np.where(self._has(labels), weight, -np.inf)
        with np.errstate(invalid="ignore"):
            mean = np.logaddexp.reduce(trace + weight, axis=1) - np.logaddexp.reduce(weight, axis=1)
        return np.exp(-self._alpha * np.where(self._has(labels).any(axis=1), mean, 0.0)).astype(np.float32)

    def _placed(
        self, points: NDArray[np.float32], labels: NDArray[np.int64], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        height, width = self.image_spec.size
        places = to_original(points[..., :2] * np.array([width, height], np.float32), self.image_spec, size)
        found = np.concatenate([places, sigmoid(points[..., _FINDABLE])[..., None]], axis=2)
        found[~self._has(labels)] = 0
        return np.asarray(found, np.float32)
