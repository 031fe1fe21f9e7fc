"""The decoder of models whose queries each output the classes and the mask of one object, without a box."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.postprocess.base import Decoder, Outputs, activate, sigmoid
from drivetrain.runtime.postprocess.maps import MapSampler
from drivetrain.types import ImageSpec, Prediction


class MaskQueriesDecoder(Decoder):
    """Objects, highest score first: the probability of the class times the mean probability of the pixels of the mask.

    Boxes are those of the masks. An object without pixels is dropped.

    ``decoder_args``:

    - ``scores``: name of the ``(1, Q, C + 1)`` logits of each class; the last means "nothing".
    - ``masks``: name of ``(1, Q, h, w)`` logits over the model input.
    - ``score_decimals``: decimals to which scores are rounded, with ties in the order of their queries, so that
      runtimes that differ in the last bits agree on the order (default: no rounding).
    - ``confidence_threshold`` (0.25) and ``max_detections`` (100).
    """

    arguments: ClassVar[frozenset[str]] = frozenset(
        {"scores", "masks", "score_decimals", "confidence_threshold", "max_detections"}
    )
    takes_confidence: ClassVar[bool] = True

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        args = decoder_args
        self._scores, self._masks = str(args["scores"]), str(args["masks"])
        self._decimals: int | None = args.get("score_decimals")
        self._threshold = float(args.get("confidence_threshold", 0.25))
        self._most = int(args.get("max_detections", 100))

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The objects at or above the threshold, highest score first."""
        logits = np.asarray(outputs[self._masks][0], np.float32)
        classes = activate(np.asarray(outputs[self._scores][0], np.float32), "softmax")[:, :-1]
        values = classes * _certainty(logits)[:, None]
        if self._decimals is not None:
            values = values.round(self._decimals)
        best = np.argsort(-values, axis=None, kind="stable")[: self._most]
        rows, labels = np.unravel_index(best, values.shape)
        scores = values[rows, labels]
        keep = (scores >= self._threshold) & (scores > 0)
        rows, labels, scores = rows[keep], labels[keep], scores[keep]
        masks = self._masks_of(logits, rows, size)
        found = masks.any(axis=(1, 2))
        masks = masks[found]
        boxes = np.stack([_box(mask) for mask in masks]) if len(masks) else np.zeros((0, 4), np.float32)
        return Prediction(
            path,
            size,
            labels=labels[found].astype(np.int64),
            scores=scores[found].astype(np.float32),
            boxes=boxes,
            masks=masks,
        )

    def _masks_of(
        self, logits: NDArray[np.float32], rows: NDArray[np.int64], size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        masks = np.zeros((len(rows), *size), np.bool_)
        sampler = MapSampler(self.image_spec, size, (logits.shape[1], logits.shape[2]))
        for number, row in enumerate(rows.tolist()):
            masks[number] = sampler.sample(logits[row]) > 0
        return masks


def _certainty(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(Q,)`` the mean probability of the pixels that are more likely than not; 0 if there are none."""
    inside = logits > 0
    counts = inside.sum(axis=(1, 2))
    total = np.where(inside, sigmoid(logits), 0).sum(axis=(1, 2))
    return np.asarray(total / np.maximum(counts, 1), np.float32)


def _box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The smallest box, xyxy, around the pixels of a non-empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
