"""The objects of many images as columns, which fast readers return instead of lists in each record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.images import rle as run_length

_SLACK = 0.5  # pixels: a smaller overhang is due to rounding and gets no note
RINGS = pa.list_(pa.list_(pa.float64()))


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """M objects of N images; those of an image are consecutive, in the order of the images.

    Attributes:
        counts: ``(N,) int64`` the number of objects of each image.
        boxes: ``(M, 4) float64`` xyxy in pixels.
        labels: ``(M,) int64``.
        area: ``(M,) float64`` square pixels, NaN if it is to be computed.
        iscrowd: ``(M,) bool``.
        polygons: a list of rings ``x, y, x, y, ...`` per object, empty if it has none; ``None`` if no object has any.
        rles: ``(M,)`` a COCO run-length dict or ``None`` per object; ``None`` if no object has one.
        scores: ``(M,) float64``, NaN for an object without one; ``None`` if there are none.
        keypoints: ``(M, 3 K) float64`` x, y, visibility; ``None`` if there are none.
    """

    counts: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    area: NDArray[np.float64]
    iscrowd: NDArray[np.bool_]
    polygons: pa.ListArray | None = None
    rles: NDArray[np.object_] | None = None
    scores: NDArray[np.float64] | None = None
    keypoints: NDArray[np.float64] | None = None

    def take_objects(self, indices: NDArray[Any], counts: NDArray[np.int64]) -> ObjectColumns:
        """The objects at these positions or under a mask; ``counts`` are the new counts of the images."""
        positions = np.flatnonzero(indices) if indices.dtype == np.bool_ else indices
        return ObjectColumns(
            counts,
            self.boxes[positions],
            self.labels[positions],
            self.area[positions],
            self.iscrowd[positions],
            None if self.polygons is None else self.polygons.take(pa.array(positions)),
            None if self.rles is None else self.rles[positions],
            None if self.scores is None else self.scores[positions],
            None if self.keypoints is None else self.keypoints[positions],
        )

    def take_images(self, rows: Sequence[int]) -> ObjectColumns:
        """The objects of these images, in this order."""
        chosen = np.asarray(rows, np.int64)
        if len(chosen) == len(self.counts) and (chosen == np.arange(len(chosen))).all():
            return self
        starts, counts = np.cumsum(self.counts) - self.counts, self.counts[chosen]
        shifts = np.repeat(starts[chosen] - (np.cumsum(counts) - counts), counts)
        return self.take_objects(np.arange(int(counts.sum())) + shifts, counts)

    def completed(self, sizes: NDArray[np.int64]) -> tuple[ObjectColumns, int, int]:
        """Clip boxes to the images, drop objects without an extent, and compute areas that are not given.

        Args:
            sizes: ``(N, 2)`` height, width of each image.

        Returns:
            The objects, how many boxes noticeably exceeded their image, and how many objects were dropped.
        """
        low, high = np.minimum(self.boxes[:, :2], self.boxes[:, 2:]), np.maximum(self.boxes[:, :2], self.boxes[:, 2:])
        limits = np.repeat(sizes[:, ::-1].astype(np.float64), self.counts, axis=0)
        clipped = int(((low < -_SLACK) | (high > limits + _SLACK)).any(axis=1).sum())
        low, high = np.maximum(low, 0.0), np.minimum(high, limits)
        whole = np.asarray((high > low).all(axis=1), np.bool_)
        columns = replace(self, boxes=np.concatenate([low, high], axis=1))
        if not whole.all():
            columns = columns.take_objects(whole, np.bincount(self.image_rows[whole], minlength=len(self.counts)))
        return columns.with_areas(), clipped, int((~whole).sum())

    @property
    def image_rows(self) -> NDArray[np.int64]:
        """``(M,)`` the index of each object's image."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def lists(self) -> list[dict[str, Any]]:
        """The columns of each image as lists, for code that handles single objects."""
        ends = np.cumsum(self.counts)
        return [self._lists(int(end - count), int(end)) for end, count in zip(ends, self.counts, strict=True)]

    def _lists(self, start: int, end: int) -> dict[str, Any]:
        part = slice(start, end)
        area = self.area[part].tolist()
        found: dict[str, Any] = {
            "boxes": self.boxes[part].reshape(-1).tolist(),
            "box_labels": self.labels[part].tolist(),
            "area": [None if value != value else value for value in area],  # NaN
            "iscrowd": self.iscrowd[part].tolist(),
        }
        if self.polygons is not None and any(rings := self.polygons[part].to_pylist()):
            found["polygons"] = [entry or [] for entry in rings]
        if self.rles is not None and any(rles := self.rles[part].tolist()):
            found["rles"] = rles
        if self.scores is not None and not np.isnan(scores := self.scores[part]).all():
            found["scores"] = np.nan_to_num(scores).tolist()
        if self.keypoints is not None:
            found["keypoints"] = self.keypoints[part].tolist()
        return found

    def with_areas(self) -> ObjectColumns:
        """The same objects, each with an area: of its outline, or of its box if it has none."""
        missing = np.isnan(self.area)
        if not missing.any():
            return self
        area = np.where(missing, np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1), self.area)
        if self.polygons is not None:
            outlined = missing & (list_sizes(self.polygons) > 0)
            area = np.where(outlined, polygon_areas(self.polygons), area)
        if self.rles is not None:
            for index in np.flatnonzero(missing):
                if self.rles[index] is not None:
                    area[index] = run_length.area_of(self.rles[index])
        return replace(self, area=area)


def list_sizes(lists: pa.ListArray) -> NDArray[np.int64]:
    """The length of each list; zero for a null."""
    return np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def polygon_areas(polygons: pa.ListArray) -> NDArray[np.float64]:
    """``(M,)`` the area of each list of rings, 0 if it is empty."""
    points, starts, owners = _rings(polygons)
    if not len(starts):
        return np.zeros(len(polygons), np.float64)
    following = np.concatenate([points[1:], points[:1]])
    ends = np.concatenate([starts[1:], [len(points)]]) - 1
    following[ends] = points[starts]
    crossed = points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]
    areas = np.abs(np.add.reduceat(crossed, starts)) / 2
    return np.asarray(np.bincount(owners, areas, minlength=len(polygons)), np.float64)


def polygon_boxes(polygons: pa.ListArray) -> NDArray[np.float64]:
    """``(M, 4)`` the smallest box around each list of rings, NaN if it is empty."""
    points, starts, owners = _rings(polygons)
    boxes = np.full((len(polygons), 4), np.nan)
    if len(starts):
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        rows, begins = owners[first], starts[first]
        boxes[rows, :2] = np.minimum.reduceat(points, begins)
        boxes[rows, 2:] = np.maximum.reduceat(points, begins)
    return boxes


def _rings(polygons: pa.ListArray) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """``(P, 2)`` all points, ``(R,)`` the index of each ring's first point, and ``(R,)`` the ring's object."""
    rings = polygons.flatten()
    points = rings.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2)
    lengths = list_sizes(rings) // 2
    counts = list_sizes(polygons)
    return points, np.cumsum(lengths) - lengths, np.repeat(np.arange(len(polygons)), counts)


def joined(parts: Sequence[ObjectColumns], keypoint_values: int) -> ObjectColumns:
    """The objects of several documents, one after the other."""
    sizes = [len(part.labels) for part in parts]

    def column(name: str, blank: Any) -> Any:
        columns = [getattr(part, name) for part in parts]
        if all(entry is None for entry in columns):
            return None
        filled = zip(columns, sizes, strict=True)
        return np.concatenate([blank(size) if entry is None else entry for entry, size in filled])

    polygons = None
    if any(part.polygons is not None for part in parts):
        lists = [pa.nulls(n, RINGS) if p.polygons is None else p.polygons for p, n in zip(parts, sizes, strict=True)]
        polygons = pa.concat_arrays(lists)
    points = column("keypoints", lambda size: np.zeros((size, keypoint_values))) if keypoint_values else None
    if points is None and keypoint_values:
        points = np.zeros((sum(sizes), keypoint_values))
    return ObjectColumns(
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.area for part in parts]),
        np.concatenate([part.iscrowd for part in parts]),
        polygons,
        column("rles", lambda size: np.full(size, None, np.object_)),
        column("scores", lambda size: np.full(size, np.nan)),
        points,
    )
