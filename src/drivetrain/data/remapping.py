"""Renaming, merging or dropping labels, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.class_maps import IGNORED
from drivetrain.data.facts import Facts
from drivetrain.data.filtering import label_numbers
from drivetrain.data.image_table import ImageTable
from drivetrain.data.map_values import read_values, renumbered
from drivetrain.data.table import list_lengths, list_values, mapped_lists
from drivetrain.data.trainable import listed
from drivetrain.errors import DataError, OptionError
from drivetrain.types import Task

Others = Literal["keep", "drop"]
#: Columns with one entry, or four, per object.
_OF_OBJECTS = ("box_labels", "polygons", "rles", "keypoints", "area", "iscrowd", "track_ids")


def remapped(data: ImageTable, labels: Mapping[str, str | None], others: Others) -> tuple[pa.Table, Facts]:
    """The rows and facts with other labels; see :meth:`drivetrain.Dataset.remap`.

    Raises:
        DataError: there is no such label, or none would be left.
        OptionError: ``others`` is not one of its values, or a new name is not a string.
    """
    names, mapping = _new_names(data, labels, others)
    table, notes = data.table, list(data.notes)
    if (mapping < 0).any():
        table, note = _without(data, mapping < 0)
        notes += [note] if note else []
    kept = np.maximum(mapping, 0)
    for column in ("labels", "box_labels"):
        table = _set(table, column, mapped_lists(table, column, kept))
    table = _set(table, "labels", _each_once(table))
    if data.task is Task.SEMANTIC_SEGMENTATION:
        table = _set(table, "mask_path", _renumbered_maps(table, mapping))
    return table, replace(data.facts, label_names=names, notes=tuple(notes))


def _new_names(
    data: ImageTable, labels: Mapping[str, str | None], others: Others
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The new label names, and the new number of each old one, -1 for dropped ones."""
    if others not in ("keep", "drop"):
        raise OptionError(f"others={others!r} is not allowed. Allowed: 'keep', 'drop'.")
    label_numbers(data, list(labels))  # raises for unknown ones
    wrong = [value for value in labels.values() if value is not None and (not isinstance(value, str) or not value)]
    if wrong:
        raise OptionError(f"labels: {wrong[0]!r} is not a label name. Give a string, or None to drop the label.")
    new = [labels.get(name, name if others == "keep" else None) for name in data.label_names]
    names = tuple(dict.fromkeys(name for name in new if name is not None))
    if not names and data.label_names:
        raise DataError(f"No label would be left of {listed(list(data.label_names))}.")
    return names, np.array([-1 if name is None else names.index(name) for name in new], np.int64)


def _without(data: ImageTable, dropped: NDArray[np.bool_]) -> tuple[pa.Table, str]:
    """The rows without some labels and the objects that have them.

    Images of a classification data set are removed with their only label; otherwise they stay with what is left.
    """
    table = data.table
    had_label = list_lengths(table, "labels") > 0
    with_scores = list_lengths(table, "scores")
    objects = list_lengths(table, "box_labels")
    for column in ("boxes", *_OF_OBJECTS, *(("scores",) if (with_scores == objects).all() else ())):
        if table.column(column).null_count < len(table):
            table = _set(table, column, _filtered(data.table, column, dropped, "box_labels"))
    table = _set(table, "labels", _filtered(data.table, "labels", dropped, "labels"))
    emptied = had_label & (list_lengths(table, "labels") < 1)
    if data.task is not Task.CLASSIFICATION or not emptied.any():
        return table, ""
    return table.filter(pa.array(~emptied)), f"{int(emptied.sum())} images were removed with their dropped label."


def _filtered(table: pa.Table, column: str, dropped: NDArray[np.bool_], label_column: str) -> pa.Array:
    """A list column without the entries whose label is dropped."""
    lengths, per_label = list_lengths(table, column), list_lengths(table, label_column)
    keep = ~dropped[list_values(table, label_column).astype(np.int64)]
    width = 4 if column == "boxes" else 1
    rows = np.repeat(np.arange(len(lengths)), np.maximum(per_label, 0))
    has_entries = lengths >= 0  # a row may have labels and, say, no areas
    keep_here, rows = keep[has_entries[rows]], rows[has_entries[rows]]
    values = table.column(column).combine_chunks().flatten().filter(pa.array(np.repeat(keep_here, width)))
    kept = np.bincount(rows[keep_here], minlength=len(lengths)) * width
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~has_entries))


def _each_once(table: pa.Table) -> pa.Array:
    """The labels of the images, with merged ones listed once; the order is preserved."""
    lengths = list_lengths(table, "labels")
    values = list_values(table, "labels").astype(np.int64)
    rows = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    first = np.zeros(len(values), np.bool_)
    if len(values):
        first[np.unique(np.stack([rows, values], axis=1), axis=0, return_index=True)[1]] = True
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[first], minlength=len(lengths)))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[first]), mask=pa.array(lengths < 0))


def _renumbered_maps(table: pa.Table, mapping: NDArray[np.int64]) -> pa.Array:
    """Class maps with the new numbers; pixels of dropped classes are ignored."""
    paths: Sequence[str | None] = table.column("mask_path").to_pylist()
    named = [path for path in dict.fromkeys(paths) if path is not None]
    written = {}
    for path, found in zip(named, read_values(named), strict=True):
        values = found.values if found is not None else frozenset[int]()
        numbers = {
            value: int(mapping[value]) if value < len(mapping) and mapping[value] >= 0 else IGNORED for value in values
        }
        written[path] = renumbered(path, numbers) if any(a != b for a, b in numbers.items()) else path
    return pa.array([None if path is None else written[path] for path in paths], pa.string())


def _set(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    position = table.schema.get_field_index(column)
    return table.set_column(position, table.schema.field(column), values)
