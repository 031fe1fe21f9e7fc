"""Which boxes of one frame are those of another: the pairs that gain the most together, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlaps(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, M)`` intersection over union of boxes ``(N, 4)`` and ``(M, 4)`` xyxy."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9), np.float64)


def best_pairs(gains: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of rows and columns whose gains are highest in sum; what gains nothing is left alone.

    Rows and columns that have nothing to choose between are settled at once; only groups that compete are searched.

    Args:
        gains: ``(N, M)``; a pair is allowed where it is above 0.

    Returns:
        The rows and the columns of the pairs.
    """
    rows: list[int] = []
    columns: list[int] = []
    for group_rows, group_columns in _groups(gains > 0):
        if len(group_rows) == 1 and len(group_columns) == 1:
            rows += group_rows
            columns += group_columns
            continue
        part = gains[np.ix_(group_rows, group_columns)]
        for row, column in _assigned(part):
            rows.append(group_rows[row])
            columns.append(group_columns[column])
    return np.array(rows, np.int64), np.array(columns, np.int64)


def _groups(allowed: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns that are joined by allowed pairs, by way of others too."""
    found = []
    by_row = [np.flatnonzero(row).tolist() for row in allowed]
    by_column = [np.flatnonzero(column).tolist() for column in allowed.T]
    left = [bool(columns) for columns in by_row]
    for start, is_left in enumerate(left):
        if not is_left or not left[start]:
            continue
        left[start] = False
        rows, columns, waiting = [start], {*by_row[start]}, [*by_row[start]]
        while waiting:
            for row in by_column[waiting.pop()]:
                if left[row]:
                    left[row] = False
                    rows.append(row)
                    new = set(by_row[row]) - columns
                    columns |= new
                    waiting += new
        found.append((rows, sorted(columns)))
    return found


def _assigned(gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The Hungarian method, by shortest augmenting paths; pairs without a gain are left out."""
    if gains.shape[0] > gains.shape[1]:
        return [(row, column) for column, row in _assigned(gains.T)]
    costs = -np.maximum(gains, 0)
    count, width = costs.shape
    row_price, column_price = np.zeros(count), np.zeros(width + 1)
    owner = np.full(width + 1, -1)  # the row of each column; the last one stands for the row that is being placed
    for row in range(count):
        owner[width], column = row, width
        least, before = np.full(width, np.inf), np.full(width, width)
        done = np.zeros(width + 1, np.bool_)
        while owner[column] >= 0:
            done[column] = True
            current = owner[column]
            paths = costs[current] - row_price[current] - column_price[:width]
            shorter = ~done[:width] & (paths < least)
            least[shorter], before[shorter] = paths[shorter], column
            open_costs = np.where(done[:width], np.inf, least)
            following = int(open_costs.argmin())
            step = open_costs[following]
            row_price[owner[done]] += step
            column_price[done] -= step
            least[~done[:width]] -= step
            column = following
        while column != width:
            owner[column] = owner[before[column]]
            column = int(before[column])
    pairs = ((int(owner[column]), column) for column in range(width) if owner[column] >= 0)
    return [(row, column) for row, column in pairs if gains[row, column] > 0]
