"""The per-image overlap at very low false-positive rates (AUPIMO), in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.metrics._score_bins import BINS, bin_of

_LOWEST, _HIGHEST = 1e-5, 1e-4

_Floats = NDArray[np.float64]
_Scores = NDArray[np.float32]


class ImageOverlap:
    """The fraction of each anomalous image that is found, averaged over false-positive rates from 1e-5 to 1e-4.

    False positives are counted in normal images only, and the rates are averaged on a logarithmic axis, as defined by
    Bertoldo et al. So each marked pixel is weighted by how far below 1e-4 the rate is at which it is found.

    Args:
        limit: number of pixels up to which all scores are stored (4 bytes each); beyond that they are binned.
    """

    def __init__(self, limit: int = 50_000_000) -> None:
        self._limit = limit
        self._kept = self._pixels = self._images = 0
        self._normal: list[_Scores] = []
        self._marked: list[_Scores] = []
        self._bins: tuple[NDArray[np.int64], _Floats] | None = None

    @property
    def enough(self) -> bool:
        """Whether the normal images have enough pixels for such rates, and there is an anomalous image."""
        return self._pixels * _LOWEST >= 1.0 and self._images > 0

    def add(self, truth: NDArray[np.bool_], scores: _Scores) -> None:
        """Add one image.

        Args:
            truth: ``(H, W)``, true where the defect is; false everywhere for a normal image.
            scores: ``(H, W)``.
        """
        values = np.nan_to_num(np.asarray(scores, np.float32), nan=-np.inf)
        is_normal = not truth.any()
        part = values.ravel() if is_normal else values[truth]
        (self._normal if is_normal else self._marked).append(part)
        self._kept += part.size
        self._pixels += part.size if is_normal else 0
        self._images += not is_normal
        if self._bins is not None or self._kept > self._limit:
            self._count()

    def value(self) -> float:
        """The mean over the anomalous images; NaN unless :attr:`enough`."""
        if not self.enough:
            return float("nan")
        if self._bins is not None:
            normal, marked = self._bins
            at_least = np.cumsum(normal[::-1])[::-1]
            filled = np.flatnonzero(marked)
            found = self._found((at_least - normal)[filled], at_least[filled])
            return float((found * marked[filled]).sum() / self._images)
        top = self._largest()
        each = [
            self._found(len(top) - np.searchsorted(top, part, "right"), len(top) - np.searchsorted(top, part)).mean()
            for part in self._marked
        ]
        return float(np.mean(each))

    def _found(self, above: NDArray[np.int64], below: NDArray[np.int64]) -> _Floats:
        """The share of the rates at which pixels are found, given the normal ones above them and those not below."""
        first, last = (np.log(np.clip(count / self._pixels, _LOWEST, _HIGHEST)) for count in (above, below))
        return np.asarray((np.log(_HIGHEST) - (first + last) / 2) / np.log(_HIGHEST / _LOWEST), np.float64)

    def _largest(self) -> _Scores:
        """The largest scores of normal images in ascending order, just more than the highest rate needs."""
        pooled = np.concatenate(self._normal)
        place = max(0, len(pooled) - int(np.ceil(_HIGHEST * len(pooled))) - 1)
        cut = np.partition(pooled, place)[place]
        return np.asarray(np.sort(pooled[pooled >= cut]), np.float32)

    def _count(self) -> None:
        """Move the stored scores into the bins; the marked pixels of an image have a total weight of 1."""
        normal, marked = self._bins or (np.zeros(BINS, np.int64), np.zeros(BINS))
        for part in self._normal:
            normal += np.bincount(bin_of(part), minlength=BINS)
        for part in self._marked:
            marked += np.bincount(bin_of(part), minlength=BINS) / part.size
        self._bins = normal, marked
        self._normal, self._marked = [], []
