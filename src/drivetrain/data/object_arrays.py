"""The objects of many images as columns of the table of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.object_columns import ObjectColumns, list_sizes


def object_arrays(columns: ObjectColumns, schema: pa.Schema) -> dict[str, pa.Array]:
    """The Arrow columns of the objects, one row per image.

    Args:
        columns: with boxes within their images, and areas.
        schema: of the table.
    """
    counts = columns.counts
    arrays = {
        "boxes": _lists(columns.boxes.reshape(-1), 4 * counts, schema.field("boxes").type),
        "box_labels": _lists(columns.labels, counts, schema.field("box_labels").type),
        "area": _lists(columns.area, counts, schema.field("area").type),
        "iscrowd": _lists(columns.iscrowd, counts, schema.field("iscrowd").type),
    }
    if columns.polygons is not None:
        arrays["polygons"] = _polygons(columns, schema.field("polygons").type)
    if columns.rles is not None:
        present = np.array([rle is not None for rle in columns.rles], np.bool_)
        rows = [None if rle is None else _rle_row(rle) for rle in columns.rles]
        arrays["rles"] = _lists(rows, counts, schema.field("rles").type, absent=~_any(present, columns))
    if columns.scores is not None:
        absent = ~_any(~np.isnan(columns.scores), columns)
        arrays["scores"] = _lists(np.nan_to_num(columns.scores), counts, schema.field("scores").type, absent=absent)
    if columns.keypoints is not None:
        kind = schema.field("keypoints").type
        width = columns.keypoints.shape[1]
        each = np.full(len(columns.keypoints), width, np.int64)
        arrays["keypoints"] = _lists(_lists(columns.keypoints.reshape(-1), each, kind.value_type), counts, kind)
    return arrays


def _polygons(columns: ObjectColumns, kind: pa.DataType) -> pa.Array:
    assert columns.polygons is not None
    lengths = list_sizes(columns.polygons)
    rings = columns.polygons.flatten().cast(kind.value_type.value_type)
    objects = _lists(rings, lengths, kind.value_type)
    return _lists(objects, columns.counts, kind, absent=~_any(lengths > 0, columns))


def _any(flags: NDArray[np.bool_], columns: ObjectColumns) -> NDArray[np.bool_]:
    """``(N,)`` whether any object of each image has the flag."""
    return np.bincount(columns.image_rows[flags], minlength=len(columns.counts)) > 0


def _lists(
    values: Any, lengths: NDArray[np.int64], kind: pa.DataType, *, absent: NDArray[np.bool_] | None = None
) -> pa.Array:
    """A column of lists of these lengths; ``absent`` rows are null."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    entries = values if isinstance(values, pa.Array) else _flat(values, kind.value_type)
    mask = pa.array(absent) if absent is not None and absent.any() else None
    return pa.ListArray.from_arrays(offsets, entries, mask=mask)


def _flat(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        values = values.astype(np.float32)
    return pa.array(values, kind)


def _rle_row(rle: dict[str, Any]) -> dict[str, object]:
    return {"height": rle["size"][0], "width": rle["size"][1], "counts": rle["counts"]}
