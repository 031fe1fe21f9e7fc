"""Bins for scores of any range, fine enough to tell relative differences of 1/8192 apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DROPPED_BITS = 10  # of the 32 of a float: 13 bits of mantissa are left
BINS = 1 << (32 - _DROPPED_BITS)


def bin_of(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of the bin of each score; a higher score is never in a lower bin."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0.0 and 0.0 one
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> _DROPPED_BITS).astype(np.int64)
