"""Compact picture descriptors that need no trained weights: edges, colours and layout."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIDE = 64
_THUMB = 32
_LAYOUT = 8
_BITS = 128
_EDGES = 324
#: Length of a descriptor: edges (a histogram of oriented gradients), then the colours of an 8 x 8 grid.
SIZE = _EDGES + 3 * _LAYOUT**2
#: The descriptors in words.
METHOD = "edges (histogram of oriented gradients) and colours of a 64 x 64 picture, without trained weights"
#: The weight of the colours relative to the edges.
_COLOUR_WEIGHT = 0.5


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize ``(H, W, 3)`` to ``(64, 64, 3) uint8``; the aspect ratio is not preserved."""
    import cv2

    if min(pixels.shape[:2]) > 4 * _SIDE:  # means over whole blocks are faster; four samples per axis suffice
        pixels = cv2.resize(pixels, (4 * _SIDE, 4 * _SIDE), interpolation=cv2.INTER_LINEAR)
    larger = min(pixels.shape[:2]) > _SIDE
    method = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (_SIDE, _SIDE), interpolation=method), np.uint8)


def thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(32, 32) uint8`` of a shrunken grey picture."""
    import cv2

    return np.asarray(cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def grey_of(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(64, 64) uint8`` brightness of a shrunken picture."""
    import cv2

    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def colour_of_small(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(3,) float32`` mean red, green, blue of a shrunken picture."""
    import cv2

    return np.array(cv2.mean(small)[:3], np.float32)


def tones_of(small: NDArray[np.uint8], grey: NDArray[np.uint8]) -> tuple[float, float, float, float, float]:
    """Mean, standard deviation, 2nd and 98th percentile of the brightness, and the mean saturation, all 0..255."""
    import cv2

    mean, spread = cv2.meanStdDev(grey)
    below = np.cumsum(np.bincount(grey.reshape(-1), minlength=256))
    low, high = np.searchsorted(below, (0.02 * grey.size, 0.98 * grey.size))
    red, green, blue = cv2.split(small)
    strongest, weakest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    saturation = cv2.mean(cv2.subtract(strongest, weakest))[0]
    return float(mean[0, 0]), float(spread[0, 0]), float(low), float(high), float(saturation)


def hash_of(thumb: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """``(2,) uint64``: which of the 128 lowest frequencies of the cosine transform exceed most others."""
    import cv2

    low = cv2.dct(thumb.astype(np.float32)).reshape(-1)[_low_frequencies()]
    return np.packbits(low > np.partition(low, _BITS // 2)[_BITS // 2]).view(np.uint64)


@cache
def _low_frequencies() -> NDArray[np.int64]:
    rows, columns = np.mgrid[:_THUMB, :_THUMB]
    order = np.lexsort((rows.ravel(), (rows + columns).ravel()))
    return np.asarray(order[1 : _BITS + 1])  # the first is the brightness


def describe_small(small: NDArray[np.uint8], grey: NDArray[np.uint8]) -> NDArray[np.float16]:
    """``(SIZE,) float16`` of a shrunken picture and its brightness."""
    import cv2

    edges = _gradients().compute(grey).reshape(-1)
    layout = cv2.resize(small, (_LAYOUT, _LAYOUT), interpolation=cv2.INTER_AREA).reshape(-1)
    colours = (layout.astype(np.float32) / 255 - 0.5) * _COLOUR_WEIGHT
    return np.concatenate([edges, colours]).astype(np.float16)


@cache
def _gradients() -> Any:
    import cv2

    return cv2.HOGDescriptor((_SIDE, _SIDE), (32, 32), (16, 16), (16, 16), 9)
