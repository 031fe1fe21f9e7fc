"""The outlines of an image's objects, computed when they are first needed."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from drivetrain.data import Dataset
from drivetrain.images.masks import has_outline, object_mask, rings_of
from drivetrain.types import Sample

Outline = NDArray[np.float32]

_INSET = 1 / 128
"""In pixels. Ultralytics truncates coordinates before filling an outline, and also fills the border pixels: an outline
exactly on the right or lower edge of a pixel would include the next pixel, and one on the left or upper edge could lose
its own pixel to rounding."""


class Outlines(Sequence[Outline]):
    """One ring of ``(K, 2) float32`` xy in 0..1 for each kept object.

    The sample is read and masks are traced on first access, so that a large data set is available immediately; their
    number is known before.

    Args:
        samples: the images, with boxes.
        number: of the image among them.
        kept: ``(N,)`` the indices of the objects to keep.
    """

    __slots__ = ("_found", "_kept", "_number", "_samples")

    def __init__(self, samples: Dataset, number: int, kept: NDArray[np.int64]) -> None:
        self._samples, self._number, self._kept = samples, number, kept
        self._found: list[Outline] | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Outline: ...
    @overload
    def __getitem__(self, index: slice) -> list[Outline]: ...
    def __getitem__(self, index: int | slice) -> Outline | list[Outline]:
        return self._all[index]

    def __iter__(self) -> Iterator[Outline]:
        return iter(self._all)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Outline]:
        """The copy that Ultralytics takes with each image and changes in place."""
        del memo
        return [outline.copy() for outline in self._all]

    @property
    def _all(self) -> list[Outline]:
        if self._found is None:
            sample = self._samples[self._number]
            height, width = sample.size
            scale = np.array([width, height], np.float32)
            self._found = [(_outline(sample, int(index)) / scale).astype(np.float32) for index in self._kept]
        return self._found


def _outline(sample: Sample, index: int) -> Outline:
    """One ring of ``(K, 2)`` xy in pixels; several parts are joined by Ultralytics' own function."""
    rings = [np.asarray(ring, np.float32) for ring in rings_of(sample, index)]
    if not rings and has_outline(sample, index):
        rings = trace(object_mask(sample, index))
    if not rings:
        assert sample.boxes is not None
        x1, y1, x2, y2 = sample.boxes[index]
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
    if len(rings) == 1:
        return rings[0]
    join = importlib.import_module("ultralytics.data.converter").merge_multi_segment
    return np.concatenate(join([ring.reshape(-1).tolist() for ring in rings])).astype(np.float32)


def trace(mask: NDArray[np.bool_]) -> list[Outline]:
    """The outer outline of each part of a mask, along the outer edges of its pixels; holes are not outlined.

    OpenCV traces through pixel centres. In a mask of twice the size each pixel is split in halves, so a
    traced half tells which edge of its pixel it is at.

    Args:
        mask: ``(H, W)``.

    Returns:
        Rings of ``(K, 2) float32`` xy in pixels of the mask, inside its edges by 1/128 of a pixel.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    found, _ = cv2.findContours(part.repeat(2, axis=0).repeat(2, axis=1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    start = np.array([columns[0], rows[0]])
    halves = [contour.reshape(-1, 2) for contour in found]
    return [(start + half // 2 + np.where(half % 2, 1 - _INSET, _INSET)).astype(np.float32) for half in halves]
