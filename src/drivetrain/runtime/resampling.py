"""The weights for resampling an image along one axis, in groups that share their source pixels.

Every runtime computes bit-identical pixels, because no step depends on the order of float operations:

- Positions are integers: with a source length ``n`` and a target length ``m``, the centres of target pixel ``o``
  and of source pixel ``x`` differ by ``((2 x + 1) m - (2 o + 1) n) / (2 m)`` source pixels; only the numerator is used.
- Weights are integer multiples of ``1 / ROW_STEPS`` and ``1 / COLUMN_STEPS``. Rows are resampled first, to quarters of
  a level, then columns; every product and every partial sum is then an integer below 2**24 in its unit,
  which float32 represents exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drivetrain.types.image_spec import Interpolation

GROUP = 8
"""Target pixels that are computed together; larger groups waste work, smaller ones time between groups."""

ROW_STEPS = 2**15
COLUMN_STEPS = 2**13
PARTS = 4
"""Between the axes, levels are stored in this many parts."""

CUBIC_STEPS = 1024
"""Number of tabulated positions of the cubic, for each width of the filter."""

_CUBIC_UNIT = 2**14
_CUBIC_SHARPNESS = {True: -0.5, False: -0.75}

RADIUS = {"nearest": 1, "bilinear": 1, "bicubic": 2}
"""The reach of a source pixel, in units of the filter's width."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisWeights:
    """How one axis is resampled.

    Attributes:
        starts: first source pixel of each group of :data:`GROUP` target pixels.
        weights: ``(groups, GROUP, K) float32``: the weight of ``K`` source pixels for each target pixel.
    """

    starts: tuple[int, ...]
    weights: NDArray[np.float32]


@lru_cache(maxsize=2)
def cubic_table(antialias: bool) -> NDArray[np.int32]:
    """The height of the cubic at ``k / CUBIC_STEPS`` filter widths from its centre, in integers.

    Returns:
        ``(2 CUBIC_STEPS + 1,) int32``; its free parameter is -0.5 with antialias and -0.75 without.
    """
    a, t = _CUBIC_SHARPNESS[antialias], np.arange(2 * CUBIC_STEPS + 1) / CUBIC_STEPS
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return np.asarray(np.rint(np.where(t <= 1, near, far) * _CUBIC_UNIT), np.int32)


@lru_cache(maxsize=64)
def axis_weights(source: int, target: int, interpolation: Interpolation, antialias: bool, steps: int) -> AxisWeights:
    """The weights from ``source`` pixels to ``target`` pixels, as integer multiples of ``1 / steps``."""
    groups = -(-target // GROUP)
    width = max(source, target) if antialias and interpolation != "nearest" else target
    radius = 2 * RADIUS[interpolation] * width
    outputs = np.minimum(np.arange(groups * GROUP), target - 1).reshape(groups, GROUP)
    taps = min(source, -(-(GROUP * source + radius) // target) + 3)
    starts = np.maximum(0, (2 * outputs[:, 0] + 1) * source - radius) // (2 * target)
    starts = np.minimum(np.maximum(starts - 1, 0), source - taps)
    positions = starts[:, None] + np.arange(taps)
    distance = (2 * positions[:, None, :] + 1) * target - (2 * outputs[:, :, None] + 1) * source
    heights = _filter(distance, target, width, interpolation, antialias)
    total = heights.sum(axis=2, keepdims=True)
    whole = np.sign(heights) * ((2 * np.abs(heights) * steps + total) // (2 * total))
    weights = whole.astype(np.float32) / np.float32(steps)
    return AxisWeights(tuple(int(start) for start in starts), weights)


def _filter(
    distance: NDArray[np.int64], target: int, width: int, interpolation: Interpolation, antialias: bool
) -> NDArray[np.int64]:
    """The height of the filter, in integers, at a distance in units of ``1 / (2 target)`` source pixels."""
    if interpolation == "nearest":  # the pixel that holds the centre: distance in (-target, target]
        return np.asarray((distance > -target) & (distance <= target), np.int64)
    if interpolation == "bilinear":
        return np.asarray(np.maximum(0, 2 * width - np.abs(distance)), np.int64)
    near = np.minimum(np.abs(distance), 4 * width)
    return np.asarray(cubic_table(antialias)[(near * CUBIC_STEPS + width) // (2 * width)], np.int64)
