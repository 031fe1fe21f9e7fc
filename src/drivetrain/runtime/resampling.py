"""The weights by which an image is resampled along one axis, in groups that share their source pixels.

All positions are whole numbers, so that every runtime computes the same weights: with a source length ``n`` and a
target length ``m``, the centre of target pixel ``o`` and of source pixel ``x`` differ by
``((2 x + 1) m - (2 o + 1) n) / (2 m)`` source pixels; only the numerator is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drivetrain.types.image_spec import Interpolation

GROUP = 8
"""Target pixels that are computed together; a larger group wastes work, a smaller one time between groups."""

ROUNDING = 0.5 + 2.0**-10
"""Added before rounding down: half goes up, and a float error below 2**-10 cannot turn a half over."""

CUBIC_SHARPNESS = {True: -0.5, False: -0.75}
"""The free parameter of the cubic, with and without antialias."""

RADIUS = {"nearest": 1, "bilinear": 1, "bicubic": 2}
"""How far a source pixel is felt, in units of the filter's width."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisWeights:
    """How one axis is resampled.

    Attributes:
        starts: first source pixel of each group of :data:`GROUP` target pixels.
        weights: ``(groups, GROUP, K) float32``: the weight of ``K`` source pixels for each target pixel.
    """

    starts: tuple[int, ...]
    weights: NDArray[np.float32]


@lru_cache(maxsize=64)
def axis_weights(source: int, target: int, interpolation: Interpolation, antialias: bool) -> AxisWeights:
    """The weights from ``source`` pixels to ``target`` pixels."""
    groups = -(-target // GROUP)
    width = max(source, target) if antialias and interpolation != "nearest" else target
    radius = 2 * RADIUS[interpolation] * width
    outputs = np.minimum(np.arange(groups * GROUP), target - 1).reshape(groups, GROUP)
    taps = min(source, -(-(GROUP * source + radius) // target) + 3)
    starts = np.maximum(0, (2 * outputs[:, 0] + 1) * source - radius) // (2 * target)
    starts = np.minimum(np.maximum(starts - 1, 0), source - taps)
    positions = starts[:, None] + np.arange(taps)
    distance = (2 * positions[:, None, :] + 1) * target - (2 * outputs[:, :, None] + 1) * source
    weights = _filter(distance, target, width, interpolation, antialias)
    weights /= weights.sum(axis=2, keepdims=True)
    return AxisWeights(tuple(int(start) for start in starts), weights)


def _filter(
    distance: NDArray[np.int64], target: int, width: int, interpolation: Interpolation, antialias: bool
) -> NDArray[np.float32]:
    """The height of the filter at a distance in units of ``1 / (2 target)`` source pixels."""
    if interpolation == "nearest":  # the pixel that holds the centre: distance in (-target, target]
        return ((distance > -target) & (distance <= target)).astype(np.float32)
    if interpolation == "bilinear":
        return np.asarray(np.maximum(0, 2 * width - np.abs(distance)), np.float32)
    a = np.float32(CUBIC_SHARPNESS[antialias])
    t = np.minimum(np.abs(distance), 4 * width).astype(np.float32) / np.float32(2 * width)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.asarray(np.where(t <= 1, near, far), np.float32)
