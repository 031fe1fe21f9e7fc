"""Joining the answers about the tiles of an image into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import Prediction

_SAME = 0.5  # intersection over union of two boxes; above it they are one object
_PIECE = 0.5  # share of a cut-off piece inside another object; above it, it is part of that object
_EDGE = 2.0  # pixels; a box that ends this close to the edge of a tile is cut off by it


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of an image, in its pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def join_objects(path: str, size: tuple[int, int], views: Sequence[View], parts: Sequence[Prediction]) -> Prediction:
    """The objects of all tiles, each once, by non-maximum suppression per class.

    Objects that are not cut off by a tile take precedence. A piece is dropped if most of it lies inside another
    object of its class; two pieces are merged, with the union of their boxes and masks.

    Args:
        path: the path of the image.
        size: (height, width) of the image.
        views: the positions of the tiles.
        parts: the answers about the tiles, each in pixels of its tile.
    """
    offsets = [np.array([view.left, view.top] * 2, np.float32) for view in views]
    boxes = np.concatenate([np.asarray(part.boxes) + offset for part, offset in zip(parts, offsets, strict=True)])
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    scores = np.concatenate([np.asarray(part.scores) for part in parts])
    of_view = np.repeat(np.arange(len(parts)), [len(np.asarray(part.labels)) for part in parts])
    pieces = _are_pieces(boxes, of_view, views, size)
    groups = _groups(boxes, labels, scores, pieces)
    kept = [group[0] for group in groups]
    joined = [_union(boxes[group]) for group in groups]
    order = sorted(range(len(kept)), key=lambda number: -scores[kept[number]])
    chosen = np.array([kept[number] for number in order], np.int64)
    values: dict[str, Any] = {
        "boxes": np.array([joined[number] for number in order], np.float32).reshape(-1, 4),
        "labels": labels[chosen],
        "scores": scores[chosen],
    }
    if parts[0].masks is not None:
        values["masks"] = _masks([groups[number] for number in order], of_view, views, parts, size)
    if parts[0].keypoints is not None:
        values["keypoints"] = _keypoints(views, parts)[chosen]
    return replace(parts[0], path=path, size=size, **values)


def _are_pieces(
    boxes: NDArray[np.float32], of_view: NDArray[np.int64], views: Sequence[View], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """``(N,)`` whether each box ends at an edge of its tile that is not an edge of the image."""
    height, width = size
    sides = np.array([[v.left, v.top, v.right, v.bottom] for v in views], np.float32)
    inner = sides != np.array([0, 0, width, height], np.float32)
    return np.asarray(((np.abs(boxes - sides[of_view]) < _EDGE) & inner[of_view]).any(axis=1))


def _groups(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float32], pieces: NDArray[np.bool_]
) -> list[list[int]]:
    """The indices of the boxes that form each object: the one that is kept, then the pieces merged into it."""
    order = np.lexsort((-scores, pieces))
    groups: list[list[int]] = []
    while len(order):
        first, others = int(order[0]), order[1:]
        common = _intersections(boxes[first], boxes[others])
        areas = _areas(boxes[others])
        union = _areas(boxes[first : first + 1])[0] + areas - common
        inside = pieces[others] & (common > _PIECE * areas)
        same = (labels[others] == labels[first]) & ((common > _SAME * union) | inside)
        groups.append([first, *(others[same].tolist() if pieces[first] else ())])
        order = others[~same]
    return groups


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _intersections(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.asarray(np.maximum(sides, 0).prod(axis=1))


def _union(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _masks(
    groups: Sequence[Sequence[int]],
    of_view: NDArray[np.int64],
    views: Sequence[View],
    parts: Sequence[Prediction],
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """``(N, H, W) bool`` the union of the masks of each object."""
    first = np.searchsorted(of_view, np.arange(len(parts)))  # the index of the first object of each tile
    found = np.zeros((len(groups), *size), np.bool_)
    for mask, group in zip(found, groups, strict=True):
        for number in group:
            view = views[of_view[number]]
            own: Any = parts[of_view[number]].masks
            mask[view.top : view.bottom, view.left : view.right] |= own[number - first[of_view[number]]]
    return found


def _keypoints(views: Sequence[View], parts: Sequence[Prediction]) -> NDArray[np.float32]:
    moved = [
        np.asarray(part.keypoints) + np.array([view.left, view.top, 0], np.float32)
        for part, view in zip(parts, views, strict=True)
        if part.labels is not None and len(part.labels)
    ]
    return np.concatenate(moved) if moved else np.asarray(parts[0].keypoints)


def join_class_maps(path: str, size: tuple[int, int], views: Sequence[View], parts: Sequence[Prediction]) -> Prediction:
    """Each pixel from the tile in which it is farthest from an edge, where the model sees most of its surroundings."""
    found, depth = np.zeros(size, np.int64), np.full(size, -1.0, np.float32)
    for view, part in zip(views, parts, strict=True):
        window = np.s_[view.top : view.bottom, view.left : view.right]
        own = _depth(view, size)
        better = own > depth[window]
        found[window][better] = np.asarray(part.class_map)[better]
        depth[window][better] = own[better]
    return replace(parts[0], path=path, size=size, class_map=found)


def _depth(view: View, size: tuple[int, int]) -> NDArray[np.float32]:
    """``(h, w)`` how far each pixel of a tile is from the tile's edges; edges of the image do not count."""
    height, width = size

    def line(start: int, end: int, length: int) -> NDArray[np.float32]:
        places = np.arange(end - start, dtype=np.float32)
        before = places if start else np.full_like(places, length)
        after = places[::-1] if end < length else np.full_like(places, length)
        return np.minimum(before, after)

    down, across = line(view.top, view.bottom, height), line(view.left, view.right, width)
    return np.minimum(down[:, None], across[None, :])


def join_anomalies(path: str, size: tuple[int, int], views: Sequence[View], parts: Sequence[Prediction]) -> Prediction:
    """The score of the most anomalous tile, the mean of the maps where tiles overlap, and the union of the masks."""
    values: dict[str, Any] = {"anomaly_score": max(float(part.anomaly_score or 0.0) for part in parts)}
    if parts[0].anomaly_map is not None:
        total, count = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for view, part in zip(views, parts, strict=True):
            total[view.top : view.bottom, view.left : view.right] += np.asarray(part.anomaly_map)
            count[view.top : view.bottom, view.left : view.right] += 1
        values["anomaly_map"] = total / count
    if parts[0].anomaly_mask is not None:
        mask = np.zeros(size, np.bool_)
        for view, part in zip(views, parts, strict=True):
            mask[view.top : view.bottom, view.left : view.right] |= np.asarray(part.anomaly_mask)
        values["anomaly_mask"] = mask
    return replace(parts[0], path=path, size=size, **values)
