"""The facts about images and annotations that matter for choosing a model and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset

_SMALL_OBJECTS = 10  # per cent: the percentile of object sizes that counts as small
_UNBALANCED = 4.0


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Facts about a data set that has been divided into subsets.

    Attributes:
        images: number of images in each subset.
        counts: per label in the training images: the number of images with it, or of its objects; empty if unknown
            without opening class maps.
        held_out: per label in the validation images, as ``counts``.
        side: the median longer side of the images, in pixels.
        largest_side: the longest side of any image, in pixels.
        small_object: side of small objects as a fraction of the longer side of their image, 0..1; ``None`` without
            objects. A tenth of the objects are smaller.
        objects: number of annotated objects.
    """

    images: dict[str, int]
    counts: dict[str, int]
    held_out: dict[str, int]
    side: int
    largest_side: int
    small_object: float | None
    objects: int

    @property
    def training_images(self) -> int:
        """The number of training images."""
        return self.images.get("train", 0)

    @property
    def imbalance(self) -> float:
        """How many times more frequent the most frequent label is than the rarest that occurs."""
        present = [count for count in self.counts.values() if count]
        return max(present) / min(present) if len(present) > 1 else 1.0

    @property
    def is_unbalanced(self) -> bool:
        """Whether a model that never predicts the rarest label would still have a good accuracy."""
        return self.imbalance >= _UNBALANCED

    @property
    def missing_in_validation(self) -> tuple[str, ...]:
        """Labels that occur in training images but not in validation images."""
        if not self.held_out:
            return ()
        return tuple(name for name, count in self.counts.items() if count and not self.held_out.get(name))


def facts_of(data: Dataset) -> DataFacts:
    """Compute the facts from the columns; no image is opened."""
    longer = data.sizes.max(axis=1)
    shares = _object_shares(data)
    known = data.task is not Task.SEMANTIC_SEGMENTATION or bool(len(shares))
    return DataFacts(
        images=dict(data.subsets),
        counts=_counts(data, "train") if known else {},
        held_out=_counts(data, "val") if known else {},
        side=int(np.median(longer)),
        largest_side=int(longer.max()),
        small_object=float(np.percentile(shares, _SMALL_OBJECTS)) if len(shares) else None,
        objects=len(shares),
    )


def _counts(data: Dataset, subset: str) -> dict[str, int]:
    return data.subset(subset).class_counts() if subset in data.subsets else {}


def _object_shares(data: Dataset) -> NDArray[np.float64]:
    """``(objects,)`` the side of a square with the area of the box, as a fraction of the image's longer side."""
    column = data.table.column("boxes")
    if column.null_count == len(data):
        return np.zeros(0)
    boxes = np.asarray(column.combine_chunks().flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, 4)
    longer = np.repeat(data.sizes.max(axis=1), np.maximum(data.object_counts, 0))
    sides = np.sqrt(np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0))
    return np.asarray(sides / longer)
