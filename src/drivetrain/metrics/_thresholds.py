"""Recall and false alarms at the thresholds that a user would choose between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RECALLS = (0.8, 0.9, 0.95, 0.99, 1.0)


def threshold_rows(truth: NDArray[np.bool_], scores: NDArray[np.float64], now: float) -> list[dict[str, Any]]:
    """What is detected, missed and falsely reported at the current threshold and at those that reach round recalls.

    Args:
        truth: ``(N,)``, which images are anomalous.
        scores: ``(N,)``.
        now: the current threshold; a score that reaches it counts as anomalous.

    Returns:
        By descending threshold: ``aim`` (why the row is included), ``now`` (whether it is the current threshold),
        ``scores`` (the threshold is above the first, which may be ``None``, and at most the second), ``recall``,
        ``false_alarm_rate``, ``precision`` (all 0..1), ``missed`` and ``false_alarms`` (images). Empty unless there are
        both normal and anomalous images.
    """
    if not truth.any() or truth.all():
        return []
    levels, places = np.unique(scores, return_inverse=True)
    levels = levels[::-1]
    aims: dict[int, list[str]] = {}
    found, alarms = (
        np.cumsum(np.bincount(places, weights=kind, minlength=len(levels))[::-1]).astype(np.int64)
        for kind in (truth, ~truth)
    )
    if not alarms[0]:
        aims.setdefault(int(np.flatnonzero(alarms == 0)[-1]), []).append("no false alarm")
    for recall in _RECALLS:
        needed = math.ceil(recall * int(truth.sum()) - 1e-9)
        aims.setdefault(int(np.flatnonzero(found >= needed)[0]), []).append(f"recall {recall:.0%}")
    rows = [
        _row(truth, scores, float(level), aim=", ".join(texts), lower=_below(levels, place))
        for place, texts in aims.items()
        for level in [levels[place]]
    ]
    rows.append({**_row(truth, scores, now, aim="in use", lower=None), "now": True})
    return sorted(rows, key=lambda row: (-row["scores"][1], not row["now"]))


def _below(levels: NDArray[np.float64], place: int) -> float | None:
    return float(levels[place + 1]) if place + 1 < len(levels) else None


def _row(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float, *, aim: str, lower: float | None
) -> dict[str, Any]:
    called = scores >= threshold
    hits, alarms = int((truth & called).sum()), int((~truth & called).sum())
    return {
        "aim": aim,
        "now": False,
        "scores": [lower, threshold],
        "recall": hits / int(truth.sum()),
        "false_alarm_rate": alarms / int((~truth).sum()),
        "precision": hits / (hits + alarms) if hits + alarms else float("nan"),
        "missed": int(truth.sum()) - hits,
        "false_alarms": alarms,
    }
