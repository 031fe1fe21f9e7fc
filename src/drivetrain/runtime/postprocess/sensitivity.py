"""The sensitivity of anomaly detection, as a shift of scores that preserves their order.

A score is computed from a level, which is unbounded: 0.5 is the threshold found in validation, 0 and 1 the lowest and
the highest score seen there. A sensitivity of ``s`` adds ``s - 0.5`` to the level. From 0.02 to 0.98 the score is that
sum; beyond, it approaches 0 and 1 without reaching them. So distinct levels never become the same score, metrics that
rank scores do not depend on the sensitivity, and a sensitivity can be changed when only the scores are available.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import UnsupportedOptionError
from drivetrain.types.options import NO_SHIFT

TAIL = 0.02
"""The distance from 0 and from 1 at which scores start to bend."""
_CLOSEST = 2.0**-24  # to 0 and 1: half the resolution of float32 just below 1


def to_scores(levels: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Levels as scores between 0 and 1, of the same dtype and shape, preserving the order."""
    above = TAIL - TAIL / (1 + np.maximum(levels - (1 - TAIL), 0) / TAIL)
    below = TAIL - TAIL / (1 + np.maximum(TAIL - levels, 0) / TAIL)
    scores = np.clip(levels, TAIL, 1 - TAIL) + above - below
    return np.asarray(np.clip(scores, 0, 1), levels.dtype)


def to_levels(scores: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The levels behind scores, of the same dtype and shape; scores of 0 and 1 become very low and very high."""
    above = TAIL / np.clip(1 - scores, _CLOSEST, TAIL) - 1
    below = TAIL / np.clip(scores, _CLOSEST, TAIL) - 1
    return np.asarray(np.clip(scores, TAIL, 1 - TAIL) + TAIL * (above - below), scores.dtype)


def shifted(scores: NDArray[np.floating[Any]], now: float, wanted: float) -> NDArray[np.floating[Any]]:
    """Scores converted from one sensitivity to another, of the same dtype and shape.

    Args:
        scores: in 0..1.
        now: the sensitivity (0..1) that they were computed with.
        wanted: the sensitivity (0..1) that they should have.
    """
    return scores if now == wanted else to_scores(to_levels(scores) + (wanted - now))


def sensitivity_for(score: float, now: float) -> float:
    """The sensitivity at which a score would just count as anomalous; it can be outside 0..1.

    Args:
        score: in 0..1.
        now: the sensitivity that it was computed with.
    """
    return NO_SHIFT + now - float(to_levels(np.array(score, np.float64)))


def require_shiftable(sensitivity: float, decoder: str, *, takes: bool, recorded: bool) -> None:
    """Refuse a sensitivity for an artefact whose scores cannot be shifted.

    Args:
        sensitivity: the requested one.
        decoder: the name of the artefact's decoder.
        takes: whether the decoder has a sensitivity.
        recorded: whether the artefact records the sensitivity of its scores; early exports did not.

    Raises:
        UnsupportedOptionError: the decoder has none, or the shift is unknown.
    """
    if not takes:
        raise UnsupportedOptionError(
            f"sensitivity={sensitivity} cannot be honoured: the decoder {decoder!r} of this artefact has none. Leave "
            "it out."
        )
    if not recorded:
        raise UnsupportedOptionError(
            f"sensitivity={sensitivity} cannot be honoured: this artefact does not record the sensitivity of its "
            "scores, since an older drivetrain exported it. Export the model again."
        )
