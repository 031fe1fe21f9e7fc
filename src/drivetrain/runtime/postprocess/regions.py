"""Masks and keypoints that a model outputs per box, mapped to pixels of the original image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def masks_of_regions(
    values: NDArray[np.float32], boxes: NDArray[np.float32], size: tuple[int, int], threshold: float = 0.5
) -> NDArray[np.bool_]:
    """Masks at the size of the original image from a small map over each box; empty outside the box.

    Args:
        values: ``(N, m, m)`` probabilities over the box of each object.
        boxes: ``(N, 4)`` xyxy in pixels of the original image.
        size: ``(height, width)`` of the original image.
        threshold: a pixel belongs to the object if its value, interpolated at the centre, is above it.

    Returns:
        ``(N, height, width)``.
    """
    masks = np.zeros((len(boxes), *size), np.bool_)
    values = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    for number, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float64)):
        rows, low_y, high_y, part_y = _inside(y1, y2, size[0], values.shape[1] - 2)
        columns, low_x, high_x, part_x = _inside(x1, x2, size[1], values.shape[2] - 2)
        if not len(low_y) or not len(low_x):
            continue
        own = values[number]
        tall = own[low_y] * (1 - part_y)[:, None] + own[high_y] * part_y[:, None]
        masks[number, rows, columns] = tall[:, low_x] * (1 - part_x) + tall[:, high_x] * part_x > threshold
    return masks


def _inside(
    start: float, end: float, length: int, cells: int
) -> tuple[slice, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The pixels of one axis whose centres are in a box, with the two cells that each lies between; 0 is outside."""
    first, last = max(0, int(np.ceil(start - 0.5))), min(length, int(np.floor(end - 0.5)) + 1)
    pixels = np.arange(first, max(first, last))
    places = (pixels + 0.5 - start) * (cells / max(end - start, 1e-6)) + 0.5
    low = np.clip(np.floor(places).astype(np.int64), 0, cells)
    return slice(first, max(first, last)), low, low + 1, (places - low).astype(np.float32)


def points_of_heatmaps(values: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keypoints from a heat map over each box: the highest cell, refined by a parabola through its neighbours.

    Args:
        values: ``(N, K, m, m)`` logits over the box of each object.
        boxes: ``(N, 4)`` xyxy.

    Returns:
        ``(N, K, 3) float32`` x, y in the coordinates of the boxes, and the sigmoid of the logit.
    """
    count, points, height, width = values.shape
    if not count:
        return np.zeros((0, points, 3), np.float32)
    best = values.reshape(count, points, -1).argmax(axis=2)
    rows, columns = best // width, best % width
    objects, kinds = np.indices((count, points))
    peak = values[objects, kinds, rows, columns]
    shift_y = _top(
        values[objects, kinds, np.maximum(rows - 1, 0), columns],
        peak,
        values[objects, kinds, np.minimum(rows + 1, height - 1), columns],
    )
    shift_x = _top(
        values[objects, kinds, rows, np.maximum(columns - 1, 0)],
        peak,
        values[objects, kinds, rows, np.minimum(columns + 1, width - 1)],
    )
    corners, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    share = np.stack([(columns + 0.5 + shift_x) / width, (rows + 0.5 + shift_y) / height], axis=2)
    seen = 1 / (1 + np.exp(-np.clip(peak, -60, 60)))
    return np.concatenate([corners + share * sides, seen[..., None]], axis=2).astype(np.float32)


def _top(before: NDArray[np.float32], peak: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """The position of the maximum of the parabola through three neighbours, in cells from the middle one; 0 if flat."""
    bend = before - 2 * peak + after
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (before - after) / bend
    return np.clip(np.where(bend < 0, shift, 0), -0.5, 0.5).astype(np.float32)
