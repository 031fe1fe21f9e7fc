"""A few representative images of a data set, from every subset and every label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.image_table import ImageTable
from drivetrain.data.label_pairs import label_pairs


def example_rows(data: ImageTable, most: int) -> NDArray[np.int64]:
    """The positions of at most ``most`` images, in order.

    The labels of each subset take turns, the rarest first; a quarter is reserved for equally spaced images, so that
    images without a label are included, too.
    """
    rows, labels = label_pairs(data)
    _, subsets = np.unique(data.subset_names, return_inverse=True)
    kinds = labels * (subsets.max(initial=0) + 1) + subsets[rows]
    _, kinds, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    of_kind = [rows[kinds == kind] for kind in np.argsort(counts, kind="stable")[:most]]
    chosen: dict[int, None] = {}
    for turn in range(most):
        for found in of_kind:
            if len(chosen) < most * 3 // 4 and turn < len(found):
                chosen[int(found[turn * len(found) // min(most, len(found))])] = None
    for row in np.linspace(0, len(data) - 1, num=min(most, len(data)), dtype=np.int64).tolist():
        if len(chosen) < most:
            chosen[row] = None
    return np.array(sorted(chosen), np.int64)
