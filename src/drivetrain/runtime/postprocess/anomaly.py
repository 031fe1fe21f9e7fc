"""Decoding scores and maps of an anomaly model to pixels of the original image."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.postprocess.base import Decoder, Outputs
from drivetrain.runtime.postprocess.sensitivity import shifted
from drivetrain.types import ImageSpec, Prediction
from drivetrain.types.options import NO_SHIFT

THRESHOLD = 0.5


class AnomalyDecoder(Decoder):
    """A score for the image, and for models that localise, a map and a mask.

    Reads ``pred_score`` and, if present, ``anomaly_map``, both in 0..1 with 0.5 as the threshold; other outputs of the
    graph are for other clients.

    ``decoder_args``: ``crop`` (the central fraction of the height and of the width that the map covers; the rest is 0;
    by default the whole image); ``graph_sensitivity`` (the sensitivity of the graph's scores, one number or one each
    for image and pixels; 0.5 by default); ``sensitivity`` (likewise, the sensitivity of the answers;
    by default that of the graph).
    """

    arguments: ClassVar[frozenset[str]] = frozenset({"crop", "graph_sensitivity", "sensitivity"})
    takes_sensitivity: ClassVar[bool] = True

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        height, width = decoder_args.get("crop", (1.0, 1.0))
        self._crop = (float(height), float(width))
        if not all(0 < part <= 1 for part in self._crop):
            raise ValueError(f"crop={self._crop}; both must be in (0, 1]")
        self._now = _pair(decoder_args.get("graph_sensitivity", NO_SHIFT))
        self._wanted = _pair(decoder_args.get("sensitivity", self._now))

    @property
    def image_sensitivity(self) -> float:
        """How readily an image counts as anomalous, 0..1."""
        return self._wanted[0]

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The score, and the map in pixels of the original image."""
        given = np.clip(np.ravel(outputs["pred_score"])[:1].astype(np.float64), 0.0, 1.0)
        score = float(shifted(given, self._now[0], self._wanted[0])[0])
        scores = outputs.get("anomaly_map")
        if scores is None:
            return Prediction(path, size, anomaly_score=score)
        # Pixels between those of the model are interpolated at one fixed sensitivity, so that their order,
        # and with it every metric that ranks them, does not depend on the requested one.
        plain = shifted(scores.reshape(scores.shape[-2:]), self._now[1], NO_SHIFT)
        placed = np.asarray(shifted(place_map(plain, size, self._crop), NO_SHIFT, self._wanted[1]), np.float32)
        return Prediction(path, size, anomaly_score=score, anomaly_map=placed, anomaly_mask=placed >= THRESHOLD)


def _pair(value: Any) -> tuple[float, float]:
    """The sensitivity for the image and for the pixels."""
    image, pixel = (value, value) if isinstance(value, int | float) else value
    if not (0.0 <= image <= 1.0 and 0.0 <= pixel <= 1.0):
        raise ValueError(f"sensitivity={value}; it must be between 0 and 1")
    return float(image), float(pixel)


def place_map(
    scores: NDArray[np.floating[Any]], size: tuple[int, int], crop: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """A map at the size of the model, resized to the original image by bilinear interpolation.

    Args:
        scores: ``(h, w)`` in 0..1.
        size: ``(height, width)`` of the original image.
        crop: the central fraction of the height and of the width that it covers.

    Returns:
        ``size`` float32, 0 outside the crop.
    """
    import cv2

    height, width = (max(1, round(whole * part)) for whole, part in zip(size, crop, strict=True))
    small = np.ascontiguousarray(scores, np.float32)
    inner = small if small.shape == (height, width) else cv2.resize(small, (width, height))
    if (height, width) == size:
        return np.ascontiguousarray(inner, np.float32)
    placed = np.zeros(size, np.float32)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    placed[top : top + height, left : left + width] = inner
    return placed
