"""Metrics for binary decisions ranked by score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32] | NDArray[np.float64]


def average_precision(truth: NDArray[np.bool_], scores: Scores) -> float:
    """The area under the precision-recall steps, one step per distinct score; NaN without a positive."""
    positives, negatives = _cumulative(truth, scores)
    if not positives[-1]:
        return float("nan")
    precision = positives / (positives + negatives)
    gained = np.diff(positives, prepend=0)
    return float((gained * precision).sum() / positives[-1])


def area_under_roc(truth: NDArray[np.bool_], scores: Scores) -> float:
    """The area under the receiver operating characteristic (ties count half); NaN if there is only one class."""
    positives, negatives = _cumulative(truth, scores)
    return area_under_counts(positives, negatives)


def area_under_counts(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """The same, from the numbers of positives and negatives at or above each distinct score, highest first."""
    if not positives.size or not positives[-1] or not negatives[-1]:
        return float("nan")
    width = np.diff(negatives, prepend=0)
    height = positives - np.diff(positives, prepend=0) / 2
    return float((width * height).sum() / positives[-1] / negatives[-1])


def _cumulative(truth: NDArray[np.bool_], scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many positives and negatives are at or above each distinct score, highest first."""
    order = np.argsort(scores, kind="stable")[::-1]
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    positives = np.cumsum(truth[order], dtype=np.int64)[last_of_score]
    return positives, last_of_score + 1 - positives
