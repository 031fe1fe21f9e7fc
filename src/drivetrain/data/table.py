"""The columns of a data set: conversion from records to Arrow and from Arrow to samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.object_arrays import object_arrays
from drivetrain.data.object_columns import ObjectColumns
from drivetrain.data.read_record import Record
from drivetrain.types import Sample

_RLE = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("counts", pa.string())])
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("image_id", pa.int64()),
        ("subset", pa.string()),
        ("labels", pa.list_(pa.int64())),
        ("boxes", pa.list_(pa.float32())),
        ("box_labels", pa.list_(pa.int64())),
        ("polygons", pa.list_(pa.list_(pa.list_(pa.float32())))),
        ("rles", pa.list_(_RLE)),
        ("keypoints", pa.list_(pa.list_(pa.float32()))),
        ("area", pa.list_(pa.float32())),
        ("iscrowd", pa.list_(pa.bool_())),
        ("scores", pa.list_(pa.float32())),
        ("track_ids", pa.list_(pa.int64())),
        ("mask_path", pa.string()),
        ("anomalous", pa.bool_()),
    ]
)
_NUMBERS: dict[str, type] = {
    "labels": np.int64,
    "boxes": np.float32,
    "box_labels": np.int64,
    "area": np.float32,
    "scores": np.float32,
    "track_ids": np.int64,
}


def build_table(records: Sequence[Record], objects: ObjectColumns | None = None) -> pa.Table:
    """Build the table from checked records: sizes and image ids set, areas computed, coordinates in pixels.

    Args:
        records: one per image.
        objects: the objects of the images, in order, if the records do not have them.
    """
    columns = {
        "path": [r.path for r in records],
        "height": [r.size[0] if r.size else None for r in records],
        "width": [r.size[1] if r.size else None for r in records],
        "image_id": [r.image_id for r in records],
        "subset": [r.subset for r in records],
        "polygons": [r.polygons for r in records],
        "keypoints": [r.keypoints for r in records],
        "iscrowd": [r.iscrowd for r in records],
        "mask_path": [r.mask_path for r in records],
        "anomalous": [r.anomalous for r in records],
        "rles": [None if r.rles is None else [_rle_row(rle) for rle in r.rles] for r in records],
    }
    given = {} if objects is None else object_arrays(objects, SCHEMA)
    arrays = []
    for field in SCHEMA:
        if field.name in given:
            arrays.append(given[field.name])
        elif field.name in _NUMBERS:
            rows = [getattr(record, field.name) for record in records]
            arrays.append(_number_lists(rows, _NUMBERS[field.name], field.type))
        else:
            arrays.append(pa.array(columns[field.name], field.type))
    return pa.table(arrays, schema=SCHEMA)


def concat_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of several tables, in order."""
    return pa.concat_tables(tables).combine_chunks()


def list_lengths(table: pa.Table, name: str) -> NDArray[np.int64]:
    """``(rows,)``: the length of each row of a list column; -1 for null."""
    column = _chunk(table, name)
    lengths = np.diff(column.offsets.to_numpy()).astype(np.int64)
    return np.where(_valid(column), lengths, -1) if column.null_count else lengths


def list_values(table: pa.Table, name: str) -> NDArray[Any]:
    """The entries of all rows of a column of number lists, one after the other."""
    return np.asarray(_chunk(table, name).flatten().to_numpy(zero_copy_only=False))


def mapped_lists(table: pa.Table, name: str, mapping: NDArray[np.int64]) -> pa.Array:
    """A column of number lists with each entry ``n`` replaced by ``mapping[n]``; nulls stay."""
    lengths = list_lengths(table, name)
    values = list_values(table, name).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))]).astype(np.int32)
    mapped = pa.array(mapping[values] if len(values) else values, pa.int64())
    return pa.ListArray.from_arrays(pa.array(offsets), mapped, mask=pa.array(lengths < 0))


class SampleReader:
    """Creates samples from rows; each sample has its own arrays.

    Args:
        table: with the schema of this module.
        keypoint_count: K of the keypoints, for images without objects.
    """

    def __init__(self, table: pa.Table, keypoint_count: int) -> None:
        self._made_of = (table, keypoint_count)
        self._scalars = {name: _chunk(table, name) for name in ("path", "height", "width", "image_id", "subset")}
        self._mask_path, self._anomalous = _chunk(table, "mask_path"), _chunk(table, "anomalous")
        self._labels = _slicer(_chunk(table, "labels"))
        self._boxes = _slicer(_chunk(table, "boxes"), (-1, 4))
        self._box_labels = _slicer(_chunk(table, "box_labels"))
        self._polygons = _polygon_slicer(_chunk(table, "polygons"))
        self._rles = _rle_slicer(_chunk(table, "rles"))
        self._keypoints = _keypoint_slicer(_chunk(table, "keypoints"), keypoint_count)
        self._area = _slicer(_chunk(table, "area"))
        self._iscrowd = _slicer(_chunk(table, "iscrowd"))
        self._rows = table.num_rows

    def __reduce__(self) -> tuple[type[SampleReader], tuple[pa.Table, int]]:
        """Pickle the constructor arguments: the column readers are nested functions."""
        return (SampleReader, self._made_of)

    def sample(self, index: int) -> Sample:
        """The sample of one row, 0-based."""
        path, height, width, image_id, subset = (column[index].as_py() for column in self._scalars.values())
        return self._sample(index, path, (height, width), image_id, subset)

    def __iter__(self) -> Iterator[Sample]:
        paths, heights, widths, ids, subsets = (column.to_pylist() for column in self._scalars.values())
        for index in range(self._rows):
            yield self._sample(index, paths[index], (heights[index], widths[index]), ids[index], subsets[index])

    def _sample(self, index: int, path: str, size: tuple[int, int], image_id: int, subset: str) -> Sample:
        labels = self._labels(index)
        return Sample(
            path,
            size,
            image_id,
            subset,
            np.zeros(0, np.int64) if labels is None else labels,
            self._boxes(index),
            self._box_labels(index),
            self._polygons(index),
            self._rles(index),
            self._keypoints(index),
            self._area(index),
            self._iscrowd(index),
            None if self._mask_path.null_count == self._rows else self._mask_path[index].as_py(),
            None if self._anomalous.null_count == self._rows else self._anomalous[index].as_py(),
        )


def _rle_row(rle: dict[str, Any] | None) -> dict[str, object] | None:
    return None if rle is None else {"height": rle["size"][0], "width": rle["size"][1], "counts": rle["counts"]}


def _number_lists(rows: Sequence[Sequence[float] | None], dtype: type, arrow_type: pa.DataType) -> pa.Array:
    lengths = np.fromiter((0 if row is None else len(row) for row in rows), np.int64, len(rows))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    filled = (row for row in rows if row is not None)
    values: NDArray[Any] = np.fromiter(chain.from_iterable(filled), dtype, int(offsets[-1]))
    nulls = np.fromiter((row is None for row in rows), np.bool_, len(rows))
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values, arrow_type.value_type), mask=pa.array(nulls) if nulls.any() else None
    )


def _chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _nothing(_: int) -> None:
    return None


def _bounds(column: pa.Array) -> tuple[list[int], list[bool] | None]:
    return column.offsets.to_pylist(), (_valid(column).tolist() if column.null_count else None)


def _slicer(column: pa.Array, shape: tuple[int, ...] | None = None) -> Callable[[int], Any]:
    """A function from a row to the numbers in its list, as a new array."""
    if column.null_count == len(column):
        return _nothing
    bounds, valid = _bounds(column)
    values: NDArray[Any] = column.values.to_numpy(zero_copy_only=False)
    if shape is not None:
        step = int(shape[-1])
        values, bounds = values.reshape(shape), [bound // step for bound in bounds]

    def read(index: int) -> Any:
        if valid is not None and not valid[index]:
            return None
        return values[bounds[index] : bounds[index + 1]].copy()

    return read


def _polygon_slicer(column: pa.Array) -> Callable[[int], Any]:
    if column.null_count == len(column):
        return _nothing
    rows, valid = _bounds(column)
    objects = column.values.offsets.to_pylist()
    rings = column.values.values.offsets.to_pylist()
    points = column.values.values.values.to_numpy(zero_copy_only=False)

    def read(index: int) -> tuple[tuple[NDArray[np.float32], ...], ...] | None:
        if valid is not None and not valid[index]:
            return None
        return tuple(
            tuple(
                points[rings[ring] : rings[ring + 1]].reshape(-1, 2).copy()
                for ring in range(objects[item], objects[item + 1])
            )
            for item in range(rows[index], rows[index + 1])
        )

    return read


def _rle_slicer(column: pa.Array) -> Callable[[int], Any]:
    if column.null_count == len(column):
        return _nothing
    rows, valid = _bounds(column)
    items = column.values

    def read(index: int) -> tuple[dict[str, object] | None, ...] | None:
        if valid is not None and not valid[index]:
            return None
        found = items.slice(rows[index], rows[index + 1] - rows[index]).to_pylist()
        return tuple(r and {"size": [r["height"], r["width"]], "counts": r["counts"]} for r in found)

    return read


def _keypoint_slicer(column: pa.Array, count: int) -> Callable[[int], Any]:
    if column.null_count == len(column):
        return _nothing
    rows, valid = _bounds(column)
    objects = column.values.offsets.to_pylist()
    values = column.values.values.to_numpy(zero_copy_only=False)

    def read(index: int) -> NDArray[np.float32] | None:
        if valid is not None and not valid[index]:
            return None
        first, last = rows[index], rows[index + 1]
        return np.array(values[objects[first] : objects[last]].reshape(last - first, count, 3))

    return read
