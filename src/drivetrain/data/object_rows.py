"""The boxes of all objects of a data set in sequence, taken from its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.image_table import ImageTable
from drivetrain.data.table import list_lengths, list_values


@dataclass(frozen=True, slots=True)
class ObjectRows:
    """M objects on N images, in the order of the images.

    Attributes:
        boxes: ``(M, 4) float32`` xyxy in pixels of the image.
        labels: ``(M,) int64``.
        crowds: ``(M,) bool`` whether an object stands for a crowd.
        images: ``(M,) int64`` the position of the image of each object.
        positions: ``(M,) int64`` the position of each object among those of its image.
        counts: ``(N,) int64`` the number of objects on each image.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    images: NDArray[np.int64]
    positions: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, data: ImageTable) -> Self:
        """The objects of a data set; images without annotated objects have none."""
        counts = np.maximum(data.object_counts, 0)
        images = np.repeat(np.arange(len(data)), counts)
        starts = np.cumsum(counts) - counts
        crowds = np.zeros(len(images), np.bool_)
        told = list_lengths(data.table, "iscrowd") >= 0
        crowds[told[images]] = list_values(data.table, "iscrowd")
        return cls(
            list_values(data.table, "boxes").reshape(-1, 4).astype(np.float32),
            list_values(data.table, "box_labels").astype(np.int64),
            crowds,
            images,
            np.arange(len(images)) - starts[images],
            counts,
        )

    @classmethod
    def none(cls, images: int) -> Self:
        """An empty list of objects for a number of images."""
        empty = np.zeros(0, np.int64)
        boxes = np.zeros((0, 4), np.float32)
        return cls(boxes, empty, np.zeros(0, np.bool_), empty, empty, np.zeros(images, np.int64))

    @property
    def ends(self) -> NDArray[np.int64]:
        """``(N,) int64`` where the objects of each image end in the sequence."""
        return np.cumsum(self.counts)

    def without_crowds(self) -> ObjectRows:
        """The same objects without crowds."""
        kept = ~self.crowds
        counts = np.bincount(self.images[kept], minlength=len(self.counts)).astype(np.int64)
        return ObjectRows(
            self.boxes[kept], self.labels[kept], self.crowds[kept], self.images[kept], self.positions[kept], counts
        )

    def inside(self, sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """``(M,) bool`` whether a box has an area inside its image.

        Args:
            sizes: ``(N, 2)`` height and width of the images.
        """
        height, width = sizes[self.images].T
        x1, y1, x2, y2 = self.boxes.T
        found = (np.minimum(x2, width) > np.maximum(x1, 0)) & (np.minimum(y2, height) > np.maximum(y1, 0))
        return np.asarray(found, np.bool_)
