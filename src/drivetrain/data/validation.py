"""Problems in the annotations of a data set, as far as the columns and the file system show them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.describe import describe, kinds_of_problems
from drivetrain.data.label_names import alike_pairs
from drivetrain.data.label_pairs import label_pairs
from drivetrain.data.table import list_lengths, list_values
from drivetrain.types import Task
from drivetrain.types.data_findings import DataFinding, DataFindings

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def validated(data: Dataset) -> DataFindings:
    """Problems found in the columns; see :meth:`drivetrain.Dataset.validate`."""
    items = [*_files(data), *_images(data), *_objects(data), *_labels(data)]
    methods = {"annotations": "the columns of the data set, and whether its files exist"}
    return DataFindings.of(items, source=data.source, images=len(data), methods=methods, statistics=describe(data))


def _files(data: Dataset) -> Iterator[DataFinding]:
    subsets = data.subset_names
    for row, path in enumerate(data.paths):
        if "#" not in path and not Path(path).is_file():
            yield DataFinding("missing_file", "The file no longer exists.", path, str(subsets[row]))
    for row, mask in enumerate(data.mask_paths):
        if mask is not None and not Path(mask).is_file():
            reason = f"Its mask {mask} no longer exists."
            yield DataFinding("missing_file", reason, data.paths[row], str(subsets[row]))
    for path, reason in data.skipped:
        yield DataFinding("skipped", f"It {reason}.", path)


def _images(data: Dataset) -> Iterator[DataFinding]:
    subsets = data.subset_names
    where: dict[str, list[int]] = {}
    for row, path in enumerate(data.paths):
        where.setdefault(path, []).append(row)
    for path, rows in where.items():
        names = sorted({str(subsets[row]) for row in rows})
        if len(names) > 1:
            yield DataFinding("leak", f"The same file is in {' and '.join(names)}.", path, names[-1], others=(path,))
    if not data.is_annotated or data.task is Task.ANOMALY:
        return
    pairs, _ = label_pairs(data)
    bare = np.ones(len(data), np.bool_)
    bare[pairs] = False
    bare &= np.array([mask is None for mask in data.mask_paths], np.bool_)
    for row in np.flatnonzero(bare).tolist():
        reason = "Nothing is annotated on it; a detector learns it as background."
        if not data.task.has_objects:
            reason = "It has no label."
        yield DataFinding("unannotated", reason, data.paths[row], str(subsets[row]), score=0.0)


def _objects(data: Dataset) -> Iterator[DataFinding]:
    counts = np.maximum(list_lengths(data.table, "box_labels"), 0)
    if not counts.any():
        return
    boxes = list_values(data.table, "boxes").reshape(-1, 4)
    labels = list_values(data.table, "box_labels")
    rows = np.repeat(np.arange(len(data)), counts)
    subsets = data.subset_names
    sides = boxes[:, 2:] - boxes[:, :2]

    def finding(kind: str, reason: str, index: int) -> DataFinding:
        x1, y1, x2, y2 = (float(value) for value in boxes[index])
        row, name = rows[index], data.label_names[labels[index]]
        return DataFinding(kind, reason, data.paths[row], str(subsets[row]), 1.0, name, box=(x1, y1, x2, y2))

    for index in np.flatnonzero((sides < 1).any(axis=1)).tolist():
        size = f"{sides[index, 0]:.2f} x {sides[index, 1]:.2f}"
        yield finding("tiny_object", f"Its box is {size} pixels (width x height).", index)
    for index in _repeated(rows, labels, boxes).tolist():
        yield finding("repeated_object", "The image has another object of this label with the same box.", index)


def _repeated(rows: NDArray[np.int64], labels: NDArray[np.int64], boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Objects that repeat an earlier one: same label and box on the same image."""
    keys = np.concatenate([rows[:, None], labels[:, None], boxes], axis=1)
    order = np.lexsort(keys.T[::-1])
    same = (keys[order][1:] == keys[order][:-1]).all(axis=1)
    return np.sort(order[1:][same])


def _labels(data: Dataset) -> Iterator[DataFinding]:
    for first, second in alike_pairs(data.label_names):
        reason = f"{first!r} and {second!r} may be two spellings of one class; remap merges them."
        yield DataFinding("alike_labels", reason, label=second, suggested_label=first)
    for kind, sentence in kinds_of_problems(data):
        yield DataFinding(kind, sentence)
