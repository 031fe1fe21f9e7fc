"""The sizes of the objects of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drivetrain.images.auto_tiling import ObjectSizes

if TYPE_CHECKING:
    from drivetrain.data import Dataset

_SMALL, _LARGE = 10, 90  # per cent


def object_sizes(dataset: Dataset) -> ObjectSizes | None:
    """The sides of small and large objects in the training images, or in all; ``None`` if there are no boxes.

    The side of an object is that of a square with the area of its box. No image is opened.
    """
    data = dataset.subset("train") if "train" in dataset.subsets else dataset
    column = data.table.column("boxes")
    if not len(data) or column.null_count == len(data):
        return None
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    boxes = np.asarray(values, np.float64).reshape(-1, 4)
    sides = np.sqrt(np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0))
    sides = sides[sides > 0]
    if not len(sides):
        return None
    small, large = np.percentile(sides, [_SMALL, _LARGE])
    return ObjectSizes(float(small), float(large), float(np.median(data.sizes.max(axis=1))))
