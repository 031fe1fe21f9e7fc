"""Metrics for binary decisions ranked by score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The recalls at which precision is given for a curve.
RECALLS = np.linspace(0.0, 1.0, 21)
Scores = NDArray[np.float32] | NDArray[np.float64]


def average_precision(truth: NDArray[np.bool_], scores: Scores) -> float:
    """The area under the precision-recall steps, one step per distinct score; NaN without a positive."""
    positives, negatives = _cumulative(truth, scores)
    if not positives[-1]:
        return float("nan")
    precision = positives / (positives + negatives)
    gained = np.diff(positives, prepend=0)
    return float((gained * precision).sum() / positives[-1])


def precision_curve(truth: NDArray[np.bool_], scores: Scores) -> list[float]:
    """The highest precision at each of :data:`RECALLS` or a higher recall; empty without a positive."""
    positives, negatives = _cumulative(truth, scores)
    if not positives.size or not positives[-1]:
        return []
    best = np.maximum.accumulate((positives / (positives + negatives))[::-1])[::-1]
    places = np.searchsorted(positives / positives[-1], RECALLS - 1e-9)
    return rounded(best[places])


def precision_by_recall(precision: NDArray[np.float64], label_names: Sequence[str]) -> dict[str, Any]:
    """COCO's curves as plain data, at :data:`RECALLS`.

    Args:
        precision: ``(101, classes)``, at recalls of 0, 0.01 to 1; below 0 or NaN for classes without truth.
        label_names: the name of each class.

    Returns:
        ``recall``, and ``by_class``: the precision of each class that occurs in the truth.
    """
    fewer = precision[:: (len(precision) - 1) // (len(RECALLS) - 1)]
    known = {name: fewer[:, label] for label, name in enumerate(label_names) if (fewer[:, label] >= 0).all()}
    return {"recall": rounded(RECALLS), "by_class": {name: rounded(curve) for name, curve in known.items()}}


def rounded(curve: NDArray[np.float64]) -> list[float]:
    """Values of a curve with four decimals, which is what can be seen of it."""
    return [round(float(value), 4) for value in curve]


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
