"""Image and label pairs as numbers: compact where a matrix of all images and labels is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.image_table import ImageTable
from drivetrain.data.table import list_lengths, list_values


def label_pairs(data: ImageTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels of each image and its objects, once per image.

    Returns:
        ``(P,)`` rows and ``(P,)`` labels, sorted by row and label.
    """
    rows, labels = [], []
    for column in ("labels", "box_labels"):
        lengths = np.maximum(list_lengths(data.table, column), 0)
        rows.append(np.repeat(np.arange(len(data)), lengths))
        labels.append(list_values(data.table, column).astype(np.int64))
    pairs = np.stack([np.concatenate(rows), np.concatenate(labels)], axis=1)
    unique = np.unique(pairs, axis=0) if len(pairs) else pairs.reshape(0, 2)
    return unique[:, 0], unique[:, 1]


def images_with(data: ImageTable, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``(N,)`` whether an image has at least one of the labels."""
    rows, found = label_pairs(data)
    chosen = np.zeros(len(data), np.bool_)
    chosen[rows[np.isin(found, labels)]] = True
    return chosen


def pairs_of(data: ImageTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of some rows, which are numbered from 0 in order."""
    place = np.full(len(data), -1, np.int64)
    place[rows] = np.arange(len(rows))
    found, labels = label_pairs(data)
    kept = place[found] >= 0
    return place[found[kept]], labels[kept]
