"""Merging data sets: labels are matched by name, images get distinct ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from drivetrain.data.facts import Facts
from drivetrain.data.image_table import ImageTable
from drivetrain.data.label_names import alike_pairs, composed
from drivetrain.data.relabel import relabelled
from drivetrain.data.table import concat_tables
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError


def merged(sets: Sequence[Any]) -> tuple[pa.Table, Facts]:
    """The rows and facts of several data sets, one after the other; see :meth:`drivetrain.Dataset.merge`.

    Args:
        sets: data sets of one task.

    Raises:
        DataError: they are for different tasks, or their objects have different keypoints.
    """
    _require_alike(sets)
    names = _joined_names(sets)
    tables = [data.table if data.label_names == names else relabelled(data, names) for data in sets]
    notes = list(dict.fromkeys(note for data in sets for note in data.notes))
    table = concat_tables(tables)
    kept = _first_of_each(table)
    if len(kept) < table.num_rows:
        notes.append(
            f"{table.num_rows - len(kept)} images are in several of the merged data sets, in the same subset; the "
            "first entry of each is kept."
        )
        table = table.take(pa.array(kept)).combine_chunks()
    table = _with_distinct_ids(table)
    pairs = ", ".join(f"{first!r} and {second!r}" for first, second in alike_pairs(names)[:5])
    if pairs:
        notes.append(f"Labels that may be two spellings of one class are kept apart: {pairs}. Merge them with remap.")
    return table, _facts(sets, names, notes)


def _require_alike(sets: Sequence[ImageTable]) -> None:
    first = sets[0]
    for data in sets[1:]:
        if data.task is not first.task:
            raise DataError(
                f"{first.source or 'the first'} is for {first.task.value} and {data.source or 'another'} for "
                f"{data.task.value}. Merge data sets of one task; with_task converts one to another task if its "
                "annotations support it."
            )
        if data.keypoint_names != first.keypoint_names:
            raise DataError(
                f"the keypoints differ: {', '.join(first.keypoint_names) or 'none'}, and "
                f"{', '.join(data.keypoint_names) or 'none'} in {data.source or 'another'}. They must be the same."
            )


def _joined_names(sets: Sequence[ImageTable]) -> tuple[str, ...]:
    """Every name once, in order of appearance; Unicode forms of a name are the same name."""
    found: dict[str, str] = {}
    for data in sets:
        for name in data.label_names:
            found.setdefault(composed(name), name)
    return tuple(found.values())


def _first_of_each(table: pa.Table) -> list[int]:
    seen: dict[tuple[str, str], int] = {}
    pairs = zip(table.column("path").to_pylist(), table.column("subset").to_pylist(), strict=True)
    for row, pair in enumerate(pairs):
        seen.setdefault(pair, row)
    return list(seen.values())


def _with_distinct_ids(table: pa.Table) -> pa.Table:
    """Keep the ids if all are distinct; otherwise number the images in order."""
    ids = table.column("image_id").to_numpy()
    if len(np.unique(ids)) == len(ids):
        return table
    position = table.schema.get_field_index("image_id")
    return table.set_column(position, table.schema.field(position), pa.array(np.arange(len(ids)), pa.int64()))


def _facts(sets: Sequence[ImageTable], names: tuple[str, ...], notes: list[str]) -> Facts:
    roots = [data.facts.root for data in sets]
    try:
        root = os.path.commonpath(roots) if all(roots) else ""
    except ValueError:  # on different drives
        root = ""
    formats = list(dict.fromkeys(data.format for data in sets))
    return Facts(
        names,
        sets[0].task,
        " + ".join(dict.fromkeys(data.source for data in sets if data.source)),
        format=" + ".join(formats),
        root=root,
        fingerprint=fingerprint_of(["merge", *(data.fingerprint for data in sets)]),
        notes=tuple(notes),
        skipped=tuple(entry for data in sets for entry in data.skipped),
        keypoint_names=sets[0].keypoint_names,
        left_out=tuple(entry for data in sets for entry in data.facts.left_out),
        annotated=any(data.is_annotated for data in sets),
    )
