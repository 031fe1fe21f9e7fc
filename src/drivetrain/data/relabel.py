"""The labels of a data set, numbered as those of a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.table import mapped_lists
from drivetrain.errors import DataError, near
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def relabelled(data: Dataset, label_names: Sequence[str]) -> pa.Table:
    """The rows with their labels numbered as in ``label_names``; Unicode's forms of a name are one name.

    Raises:
        DataError: a label that occurs is not among the names, or class maps would have to be numbered again.
    """
    numbers = {unicodedata.normalize("NFC", name): number for number, name in enumerate(label_names)}
    used = {name for name, count in data.class_counts().items() if count}
    for name in data.label_names:
        if name in used and unicodedata.normalize("NFC", name) not in numbers:
            raise DataError(
                f"The label {name!r} of the data is not among those of the model.{near(name, numbers)} "
                f"The model has: {', '.join(list(numbers)[:40])}."
            )
    composed = [unicodedata.normalize("NFC", name) for name in data.label_names]
    mapping = np.array([numbers.get(name, -1) for name in composed], np.int64)
    _require_same_maps(data, label_names, mapping)
    rows = data.table
    for column in ("labels", "box_labels"):
        position = rows.schema.get_field_index(column)
        rows = rows.set_column(position, rows.schema.field(column), mapped_lists(rows, column, mapping))
    return rows


def _require_same_maps(data: Dataset, label_names: Sequence[str], mapping: NDArray[np.int64]) -> None:
    """Refuse class maps whose pixels have other numbers than those of the labels."""
    if data.task is not Task.SEMANTIC_SEGMENTATION or data.table.column("mask_path").null_count == len(data):
        return
    other = [
        name
        for name, number, wanted in zip(data.label_names, range(len(mapping)), mapping, strict=True)
        if number != wanted
    ]
    if other:
        raise DataError(
            f"The class maps of {data.source} have the classes {', '.join(data.label_names[:40])}, in this order, and "
            f"the model has {', '.join(label_names[:40])}: {other[0]!r} is another number there. Give class maps with "
            "the numbers of the model, and their names in its order."
        )
