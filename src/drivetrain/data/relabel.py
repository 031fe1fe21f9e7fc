"""Renumbering the labels of a data set to match a model's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.class_maps import IGNORED
from drivetrain.data.label_names import composed, folded
from drivetrain.data.map_values import read_values, renumbered
from drivetrain.data.table import mapped_lists
from drivetrain.errors import DataError, either, near
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def relabelled(data: Dataset, label_names: Sequence[str]) -> pa.Table:
    """The rows with labels numbered as in ``label_names``; Unicode forms of a name are the same name.

    Raises:
        DataError: a label that occurs is not among the names.
    """
    numbers = {composed(name): number for number, name in enumerate(label_names)}
    used = {name for name, count in data.class_counts().items() if count}
    for name in data.label_names:
        if name in used and composed(name) not in numbers:
            raise DataError(
                f"The label {name!r} of the data is not among those of the model.{_meant(name, label_names)} "
                f"The model has: {', '.join(list(numbers)[:40])}."
            )
    mapping = np.array([numbers.get(composed(name), -1) for name in data.label_names], np.int64)
    rows = data.table
    if _has_class_maps(data) and (mapping != np.arange(len(mapping))).any():
        position = rows.schema.get_field_index("mask_path")
        rows = rows.set_column(
            position, "mask_path", pa.array(_renumbered_maps(data, label_names, mapping), pa.string())
        )
    for column in ("labels", "box_labels"):
        position = rows.schema.get_field_index(column)
        rows = rows.set_column(position, rows.schema.field(column), mapped_lists(rows, column, mapping))
    return rows


def _meant(name: str, label_names: Sequence[str]) -> str:
    """What the label may have been meant to be, or ``""``."""
    same = [other for other in label_names if folded(other) == folded(name)]
    if same:
        rename = either(
            f"data.remap({{{name!r}: {same[0]!r}}})",
            f"drivetrain data FOLDER --remap {shlex.quote(f'{name}={same[0]}')} --output NEW --output_format coco",
        )
        return f" Is it the model's {same[0]!r}? Then rename it: {rename}."
    return near(name, label_names)


def _has_class_maps(data: Dataset) -> bool:
    return data.task is Task.SEMANTIC_SEGMENTATION and data.table.column("mask_path").null_count < len(data)


def _renumbered_maps(data: Dataset, label_names: Sequence[str], mapping: NDArray[np.int64]) -> list[str | None]:
    """The class maps with the numbers of the other labels; ignored pixels stay ignored.

    Raises:
        DataError: a class that occurs is not among the names.
    """
    paths = [path for path in data.mask_paths if path is not None]
    written = {}
    for path, found in zip(paths, read_values(paths), strict=True):
        numbers = {IGNORED: IGNORED}
        for value in (found.values if found is not None else frozenset()) - {IGNORED}:
            if value >= len(mapping) or mapping[value] < 0:
                name = data.label_names[value] if value < len(mapping) else str(value)
                raise DataError(
                    f"The class {name!r} of the class map {path} is not among those of the model."
                    f"{near(name, label_names)} The model has: {', '.join(label_names[:40])}."
                )
            numbers[value] = int(mapping[value])
        changed = any(value != number for value, number in numbers.items())
        written[path] = renumbered(path, numbers) if changed else path
    return [None if path is None else written[path] for path in data.mask_paths]
