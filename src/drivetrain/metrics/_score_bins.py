"""Bins for scores of any range, fine enough to distinguish relative differences of 1/8192."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DROPPED_BITS = 10  # of a float's 32 bits, which leaves 13 bits of mantissa
BINS = 1 << (32 - _DROPPED_BITS)


def bin_of(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bin index of each score; a higher score is never in a lower bin."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0.0 equal to 0.0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> _DROPPED_BITS).astype(np.int64)
