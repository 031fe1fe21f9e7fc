"""Areas under curves of pixel scores over the false-positive rate, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.metrics._score_bins import BINS, bin_of

_RATE_LIMIT = 0.3

_Floats = NDArray[np.float64]
_Rates = tuple[_Floats, _Floats, _Floats, _Floats]


class PixelAreas:
    """Pixel AUROC and per-region overlap of images that are added one at a time.

    Both are the mean, over the marked pixels, of how much of the false-positive axis lies to the right of the rate at
    which the pixel is found: for the AUROC every pixel has the same weight, for the overlap every region. So only the
    scores of the normal pixels need sorting.

    Args:
        limit: number of pixels up to which all scores are stored (4 bytes each, and sorted once); beyond that they are
            binned, and the bounds of a bin count as tied.
    """

    def __init__(self, limit: int = 50_000_000) -> None:
        self._limit = limit
        self._pixels = 0
        self._normal: list[NDArray[np.float32]] = []
        self._marked: list[tuple[str | None, NDArray[np.float32], NDArray[np.float64]]] = []
        self._normal_bins: NDArray[np.int64] | None = None
        self._marked_bins: dict[str | None, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._cache: tuple[int, dict[str | None, _Rates]] | None = None

    @property
    def binned(self) -> bool:
        """Whether there were more pixels than the limit."""
        return self._normal_bins is not None

    def add(self, truth: NDArray[np.bool_], scores: NDArray[np.float32], name: str | None) -> None:
        """Add one image.

        Args:
            truth: ``(H, W)``, true where the defect is.
            scores: ``(H, W)``.
            name: the defect type.
        """
        self._cache = None
        self._pixels += truth.size
        weights = _region_weights(truth)
        scores = np.nan_to_num(scores.astype(np.float32), nan=-np.inf)
        part = (name, scores[truth], weights)
        if self._normal_bins is None and self._pixels > self._limit:
            self._normal_bins = np.zeros(BINS, np.int64)
            for kept in self._normal:
                self._normal_bins += np.bincount(bin_of(kept), minlength=BINS)
            for old in self._marked:
                self._count(*old)
            self._normal, self._marked = [], []
        if self._normal_bins is None:
            self._normal.append(scores[~truth])
            if len(weights):
                self._marked.append(part)
        else:
            self._normal_bins += np.bincount(bin_of(scores[~truth]), minlength=BINS)
            if len(weights):
                self._count(*part)

    def types(self) -> list[str]:
        """The defect types with marked pixels, in order of appearance."""
        names = list(self._marked_bins) if self.binned else [name for name, _, _ in self._marked]
        return [name for name in dict.fromkeys(names) if name is not None]

    def auroc(self, name: str | None = None) -> float:
        """The area under the pixel ROC curve (for one defect type); NaN without normal or marked pixels."""
        above, below, count, _ = self._rates(name)
        return _area(above, below, count, limit=1.0)

    def pro(self, name: str | None = None) -> float:
        """The area under the per-region overlap up to a false-positive rate of 0.3, over 0.3."""
        above, below, _, weights = self._rates(name)
        return _area(above, below, weights, limit=_RATE_LIMIT)

    def error(self) -> float:
        """The maximum error of the AUROC due to the bins; 0 without bins."""
        above, below, count, _ = self._rates(None)
        return float((count * (below - above)).sum() / count.sum() / 2) if self.binned and len(count) else 0.0

    def _count(self, name: str | None, scores: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        counts, weighed = self._marked_bins.setdefault(name, (np.zeros(BINS), np.zeros(BINS)))
        places = bin_of(scores)
        counts += np.bincount(places, minlength=BINS)
        weighed += np.bincount(places, weights, minlength=BINS)

    def _rates(self, name: str | None) -> _Rates:
        """For each marked pixel (or bin of them): the false-positive rates just above and at its score; two weights."""
        if self._cache is None:
            self._cache = self._exact_rates() if self._normal_bins is None else self._binned_rates(self._normal_bins)
        normal, rows = self._cache
        chosen = [row for key, row in rows.items() if name is None or key == name]
        if not normal or not chosen:
            empty = np.zeros(0)
            return empty, empty, empty, empty
        return _joined(chosen)

    def _exact_rates(self) -> tuple[int, dict[str | None, _Rates]]:
        pooled = np.concatenate(self._normal) if self._normal else np.zeros(0, np.float32)
        pooled.sort()
        normal = len(pooled)
        parts: dict[str | None, list[_Rates]] = {}
        for key, scores, weights in self._marked:
            order = np.argsort(scores)  # consecutive lookups then access nearby memory
            above = (normal - np.searchsorted(pooled, scores[order], side="right")) / max(normal, 1)
            below = (normal - np.searchsorted(pooled, scores[order], side="left")) / max(normal, 1)
            parts.setdefault(key, []).append((above, below, np.ones(len(order)), weights[order]))
        return normal, {key: _joined(rows) for key, rows in parts.items()}

    def _binned_rates(self, bins: NDArray[np.int64]) -> tuple[int, dict[str | None, _Rates]]:
        at_least = np.cumsum(bins[::-1])[::-1]
        normal = int(at_least[0])
        rows: dict[str | None, _Rates] = {}
        for key, (counts, weighed) in self._marked_bins.items():
            filled = np.flatnonzero(counts)
            above, below = (at_least - bins)[filled] / max(normal, 1), at_least[filled] / max(normal, 1)
            rows[key] = (above, below, counts[filled], weighed[filled])
        return normal, rows


def _joined(rows: list[_Rates]) -> _Rates:
    above, below, counts, weights = (np.concatenate(part) for part in zip(*rows, strict=True))
    return above, below, counts, weights


def _area(above: NDArray[np.float64], below: NDArray[np.float64], weights: NDArray[np.float64], limit: float) -> float:
    """The weighted mean of the part of ``0..limit`` in which a pixel is found, divided by ``limit``.

    A pixel that shares its score with normal ones is found gradually between the rates ``above`` and ``below``.
    """
    if not len(weights):
        return float("nan")
    tied = below - above
    ramp = np.clip(limit - above, 0, None) ** 2 / (2 * np.where(tied > 0, tied, 1))
    found = np.where(limit >= below, limit - (above + below) / 2, np.where(limit > above, ramp, 0.0))
    return float((weights * found).sum() / weights.sum() / limit)


def _region_weights(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each marked pixel, in the order of ``truth.nonzero()``, one over the size of its region."""
    if not truth.any():
        return np.zeros(0)
    import cv2

    _, regions = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    numbers = np.asarray(regions)[truth]
    return np.asarray(1.0 / np.bincount(numbers)[numbers])
