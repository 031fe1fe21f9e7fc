"""Exact nearest neighbours of the rows of a matrix, computed in blocks of one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16_000_000  # distances at a time
_COMPONENTS = 64
_FIT_ON = 20_000
_GROUP = 16  # columns that are looked through together


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest rows of each row, excluding itself.

    Attributes:
        rows: ``(N, k) int64``, the nearest first.
        distances: ``(N, k) float32``.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def reduced(features: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.float32]:
    """The features projected onto their first 64 principal components, which nearly preserves their distances.

    With very many rows, the components are computed from equally spaced ones.
    """
    values = features.astype(np.float32)
    sample = values[:: max(1, len(values) // _FIT_ON)]
    mean = sample.mean(axis=0) if len(sample) else np.zeros(values.shape[1], np.float32)
    values -= mean
    if values.shape[1] <= _COMPONENTS:
        return values
    centred = sample - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(values @ axes[:, ::-1][:, :_COMPONENTS], np.float32)


def nearest(points: NDArray[np.float32], count: int) -> Neighbours:
    """The ``count`` nearest rows of each row by Euclidean distance; fewer if there are fewer rows."""
    total = len(points)
    count = min(count, total - 1)
    rows = np.zeros((total, max(count, 0)), np.int64)
    squares = np.zeros((total, max(count, 0)), np.float32)
    if count < 1:
        return Neighbours(rows, squares)
    lengths = np.einsum("ij,ij->i", points, points)
    doubled = (-2 * points).T
    step = max(1, _BLOCK // total)
    for start in range(0, total, step):
        part = slice(start, min(start + step, total))
        found = points[part] @ doubled
        found += lengths
        found[np.arange(len(found)), np.arange(part.start, part.stop)] = np.inf
        near = _least(found, count)
        values = np.take_along_axis(found, near, axis=1)
        order = np.argsort(values, axis=1, kind="stable")
        rows[part] = np.take_along_axis(near, order, axis=1)
        squares[part] = np.take_along_axis(values, order, axis=1) + lengths[part, None]
    return Neighbours(rows, np.sqrt(np.maximum(squares, 0)))


def _least(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """``(n, count)`` the columns with the least values of each row, in any order.

    They lie in the ``count`` groups of columns whose least values are the least, so only these are looked through.
    """
    columns = values.shape[1]
    width = columns // _GROUP
    if width <= 2 * count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    grouped = values[:, : width * _GROUP].reshape(len(values), _GROUP, width).min(axis=1)
    groups = np.argpartition(grouped, count - 1, axis=1)[:, :count]
    within = (groups[:, None, :] + width * np.arange(_GROUP)[None, :, None]).reshape(len(values), -1)
    rest = np.broadcast_to(np.arange(width * _GROUP, columns), (len(values), columns - width * _GROUP))
    candidates = np.concatenate([within, rest], axis=1)
    least = np.argpartition(np.take_along_axis(values, candidates, axis=1), count - 1, axis=1)[:, :count]
    return np.take_along_axis(candidates, least, axis=1)
