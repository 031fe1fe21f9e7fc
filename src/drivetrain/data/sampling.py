"""Random samples of the images of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.grouping import stable_names
from drivetrain.data.image_table import ImageTable
from drivetrain.data.split import image_groups, stratified_choice
from drivetrain.errors import OptionError
from drivetrain.types.options import check_seed


def sampled_rows(data: ImageTable, size: int | float, *, seed: int, stratified: bool) -> NDArray[np.int64]:
    """The positions of the sampled images, in order; see :meth:`drivetrain.Dataset.sample`.

    Raises:
        OptionError: the size is neither a number of images nor a share, or there are fewer images.
    """
    check_seed(seed)
    count = _count(data, size)
    names = stable_names(data)
    groups = np.zeros(len(data), np.int64)
    if stratified:
        _, subset = np.unique(data.subset_names, return_inverse=True)
        groups = subset * (len(data.label_names) + 1) + image_groups(data) + 1
    if count == len(data):
        return np.arange(count)
    return np.flatnonzero(stratified_choice(groups, names, count / max(len(data), 1), seed))


def _count(data: ImageTable, size: int | float) -> int:
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise OptionError(f"size={size!r}: give a number of images, such as 100, or a share of them, such as 0.1.")
    if isinstance(size, float) and 0 < size <= 1:
        return max(1, round(size * len(data)))
    if size != int(size) or not 0 < size <= len(data):
        raise OptionError(
            f"size={size!r}: the data set has {len(data)} images; give 1 to {len(data)}, or a share in 0..1."
        )
    return int(size)
