"""COCO parsed into columns by Arrow, without a Python object for each annotation.

Annotations with a fault in their box or outline are repaired one by one, as in :mod:`drivetrain.data.readers.coco`;
a document with any other fault is left to that module. Run-length masks are examined one by one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from drivetrain.data.damage import Damage, mask_of
from drivetrain.data.object_columns import RINGS, ObjectColumns, list_sizes, polygon_boxes
from drivetrain.data.readers.coco_objects import MOST_SIDE, RING, mended
from drivetrain.errors import DataFormatError
from drivetrain.images import rle as run_length

_NUMBER = pa.float64()
_RLE = pa.struct([("size", pa.list_(pa.int64())), ("counts", pa.string()), ("count_list", pa.list_(pa.int64()))])
_SCHEMA = pa.schema(
    {
        "images": pa.list_(
            pa.struct([("id", pa.int64()), ("file_name", pa.string()), ("height", _NUMBER), ("width", _NUMBER)])
        ),
        "annotations": pa.list_(
            pa.struct(
                [
                    *(("id", pa.int64()), ("image_id", pa.int64()), ("category_id", pa.int64())),
                    *(("bbox", pa.list_(_NUMBER)), ("area", _NUMBER), ("iscrowd", _NUMBER), ("score", _NUMBER)),
                    *(("segmentation", RINGS), ("rle", _RLE), ("keypoints", pa.list_(_NUMBER))),
                ]
            )
        ),
        "categories": pa.list_(
            pa.struct(
                [
                    *(("id", pa.int64()), ("name", pa.string()), ("supercategory", pa.string())),
                    ("keypoints", pa.list_(pa.string())),
                ]
            )
        ),
    }
)
_BOM = b"\xef\xbb\xbf"
# a key is unambiguous: inside a string its quotes would be escaped as \"
_MASK = re.compile(rb'"segmentation"(\s*:\s*\{)')
_COUNTS = re.compile(rb'"counts"(\s*:\s*\[)')


class _NotPlainError(Exception):
    """The document contains something that must be examined entry by entry."""


@dataclass(frozen=True, slots=True)
class CocoColumns:
    """One COCO document.

    Attributes:
        names: the file name of each image.
        ids: ``(N,) int64`` the ids of the images.
        sizes: ``(N, 2) int64`` height and width as stated, 0 if not stated.
        categories: the categories as in the document.
        used: how often each category id occurs.
        category_ids: ``(M,) int64`` the category ids of the objects.
        objects: the objects, whose labels are not set yet.
        orphans: how many annotations are about images that are not listed.
    """

    names: list[str]
    ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    categories: list[dict[str, Any]]
    used: Counter[int]
    category_ids: NDArray[np.int64]
    objects: ObjectColumns
    orphans: int

    def labelled(self, number: Mapping[Any, int]) -> ObjectColumns | None:
        """The objects with their label numbers; ``None`` if a category is unknown."""
        known, places = np.unique(self.category_ids, return_inverse=True)
        if any(int(category) not in number for category in known):
            return None
        numbers = np.array([number[int(category)] for category in known], np.int64)
        return replace(self.objects, labels=numbers[places] if len(known) else np.zeros(0, np.int64))

    @property
    def outlined(self) -> int:
        """How many objects have an outline that is more than a box."""
        masks = 0 if self.objects.rles is None else sum(rle is not None for rle in self.objects.rles)
        if self.objects.polygons is None:
            return masks
        lengths = list_sizes(self.objects.polygons)
        return masks + int((lengths > 0).sum()) - _boxes_as_rings(self.objects.polygons, lengths)

    @property
    def keypoint_values(self) -> int:
        """The number of keypoint values of an object; 0 if there are no keypoints."""
        return 0 if self.objects.keypoints is None else self.objects.keypoints.shape[1]


def read_columns(file: Path, damage: Damage) -> CocoColumns | None:
    """The content of a file of objects; ``None`` if it has a fault that cannot be repaired here.

    Args:
        file: the document.
        damage: records what is repaired or left out.
    """
    content = file.read_bytes().removeprefix(_BOM)
    if content.lstrip()[:1] != b"{":
        return None
    if b'"counts"' in content:
        content = _COUNTS.sub(rb'"count_list"\1', _MASK.sub(rb'"rle"\1', content))
    parsing = pj.ParseOptions(explicit_schema=_SCHEMA, newlines_in_values=True, unexpected_field_behavior="ignore")
    reading = pj.ReadOptions(block_size=min(len(content) + 1, 2**31 - 1), use_threads=False)
    try:
        document = pj.read_json(pa.BufferReader(content), read_options=reading, parse_options=parsing)
        return _columns(document.combine_chunks(), file, damage)
    except (pa.ArrowException, _NotPlainError, UnicodeDecodeError, OverflowError):
        return None


def _columns(document: pa.Table, file: Path, damage: Damage) -> CocoColumns:
    if document.num_rows != 1:
        raise _NotPlainError
    images, annotations, categories = (_entries(document.column(name).chunk(0)) for name in _SCHEMA.names)
    names, ids, sizes = _images(images)
    rows = _rows_of(annotations.field("image_id"), ids)
    kept = np.flatnonzero(rows >= 0)
    known, times = np.unique(_whole(annotations.field("category_id")), return_counts=True)
    listed = categories.to_pylist()
    if any(category["id"] is None or category["name"] is None for category in listed):
        raise _NotPlainError
    _note_repeated(annotations.field("id"), damage, file)
    _require_objects(annotations)
    used, positions = mended(annotations.take(pa.array(kept)), sizes[rows[kept]], damage, file)
    rows_used = rows[kept][positions]
    order = np.lexsort((positions, rows_used))
    used = used.take(pa.array(order))
    counts = np.bincount(rows_used, minlength=len(ids)).astype(np.int64)
    return CocoColumns(
        names,
        ids,
        sizes,
        listed,
        Counter(dict(zip(known.tolist(), times.tolist(), strict=True))),
        _whole(used.field("category_id")),
        _objects(used, counts, np.repeat(sizes, counts, axis=0)),
        len(rows) - len(kept),
    )


def _require_objects(annotations: pa.StructArray) -> None:
    """Refuse labels of whole images, which are not read here."""
    if (
        len(annotations)
        and not any(list_sizes(annotations.field(name)).any() for name in ("bbox", "segmentation"))
        and annotations.field("rle").null_count == len(annotations)
    ):
        raise _NotPlainError


def _entries(column: pa.ListArray) -> pa.StructArray:
    entries = column.flatten()
    if column.null_count or entries.null_count:
        raise _NotPlainError
    return entries


def _images(images: pa.StructArray) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    ids = _whole(images.field("id"))
    names = images.field("file_name")
    if names.null_count or not len(ids) or len(np.unique(ids)) < len(ids):
        raise _NotPlainError
    sides = [_numbers(images.field(name), 0.0) for name in ("height", "width")]
    sizes = np.stack(sides, axis=1)
    sizes[((sizes < 1) | (sizes > MOST_SIDE)).any(axis=1)] = 0
    return names.to_pylist(), ids, sizes.astype(np.int64)


def _objects(annotations: pa.StructArray, counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> ObjectColumns:
    polygons = _polygons(annotations.field("segmentation"))
    rles = _masks(annotations.field("rle"), sizes)
    area = _numbers(annotations.field("area"), np.nan)
    area[area < 0] = np.nan
    return ObjectColumns(
        counts,
        _boxes(annotations.field("bbox"), polygons, rles),
        np.zeros(len(annotations), np.int64),
        area,
        _numbers(annotations.field("iscrowd"), 0.0) != 0,
        polygons,
        rles,
        _scores(annotations.field("score"), counts),
        _keypoints(annotations.field("keypoints")),
    )


def _boxes(
    column: pa.ListArray, polygons: pa.ListArray | None, rles: NDArray[np.object_] | None
) -> NDArray[np.float64]:
    lengths = list_sizes(column)
    given = lengths == 4
    if not (given | (lengths == 0)).all():
        raise _NotPlainError
    boxes = np.full((len(column), 4), np.nan)
    values = _values(column).reshape(-1, 4)
    if (values[:, 2:] < 0).any():
        raise _NotPlainError
    boxes[given] = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)
    if polygons is not None and not given.all():
        boxes[~given] = polygon_boxes(polygons)[~given]
    if rles is not None:
        for index in np.flatnonzero(np.isnan(boxes[:, 0])):
            if rles[index] is not None:
                boxes[index] = run_length.box_of(rles[index])
    if np.isnan(boxes).any():
        raise _NotPlainError
    return boxes


def _polygons(column: pa.ListArray) -> pa.ListArray | None:
    rings = column.flatten()
    lengths = list_sizes(rings)
    if rings.null_count or (lengths < RING).any() or (lengths % 2).any():
        raise _NotPlainError
    _values(rings)
    return column if len(rings) else None


def _masks(column: pa.StructArray, sizes: NDArray[np.int64]) -> NDArray[np.object_] | None:
    """The masks with their counts as text; unusable ones make the document not plain."""
    present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if not len(present):
        return None
    masks = np.full(len(column), None, np.object_)
    damage = Damage(strict=True)
    for index, entry in zip(present.tolist(), column.take(pa.array(present)).to_pylist(), strict=True):
        counts = entry["count_list"] if entry["counts"] is None else entry["counts"]
        size = sizes[index].tolist()
        try:
            mask = mask_of({"size": entry["size"], "counts": counts}, tuple(size) if all(size) else None, damage, "")
        except DataFormatError as error:
            raise _NotPlainError from error
        masks[index] = mask
    return masks


def _scores(column: pa.DoubleArray, counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Fill in missing scores: 0 on images that have scores, NaN on others."""
    if column.null_count == len(column):
        return None
    scores, rows = _numbers(column, np.nan), np.repeat(np.arange(len(counts)), counts)
    scored = np.bincount(rows[~np.isnan(scores)], minlength=len(counts)) > 0
    return np.where(scored[rows], np.nan_to_num(scores), np.nan)


def _keypoints(column: pa.ListArray) -> NDArray[np.float64] | None:
    lengths = list_sizes(column)
    most = int(lengths.max(initial=0))
    if not most:
        return None
    given = lengths > 0
    if most % 3 or (lengths[given] != most).any():
        raise _NotPlainError
    found = np.zeros((len(column), most))
    found[given] = _values(column).reshape(-1, most)
    return found


def _boxes_as_rings(polygons: pa.ListArray, lengths: NDArray[np.int64]) -> int:
    """How many objects have a single ring that is an upright rectangle."""
    rings = polygons.filter(pa.array(lengths == 1)).flatten()
    sides = list_sizes(rings)
    total = 0
    for count in (8, 10):
        points = rings.filter(pa.array(sides == count)).flatten().to_numpy().reshape(-1, count // 2, 2)
        changes = np.diff(np.sort(points, axis=1), axis=1) != 0
        total += int((changes.sum(axis=1) == 1).all(axis=1).sum())
    return total


def _rows_of(image_ids: pa.Array, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of each annotation's image; -1 if it is not listed."""
    order = np.argsort(ids, kind="stable")
    wanted = image_ids.fill_null(-1).to_numpy(zero_copy_only=False)
    places = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    found = order[places]
    known = (ids[found] == wanted) & image_ids.is_valid().to_numpy(zero_copy_only=False)
    return np.where(known, found, -1)


def _note_repeated(ids: pa.Array, damage: Damage, file: Path) -> None:
    if pc.count_distinct(ids).as_py() == len(ids) - ids.null_count:
        return
    values = ids.drop_null().to_numpy(zero_copy_only=False)
    _, first = np.unique(values, return_index=True)
    for identity in np.delete(values, first).tolist():
        damage.add("have the same id as another one; all are used", f"{file}, id {identity}")


def _whole(column: pa.Array) -> NDArray[np.int64]:
    if column.null_count:
        raise _NotPlainError
    return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)


def _numbers(column: pa.Array, absent: float) -> NDArray[np.float64]:
    """The finite numbers of a column as a new array; ``absent`` where there is none."""
    values = np.array(column.fill_null(absent).to_numpy(zero_copy_only=False), np.float64)
    if np.isinf(values).any():
        raise _NotPlainError
    return values


def _values(column: pa.ListArray) -> NDArray[np.float64]:
    """The numbers of all lists, none of which is missing or not finite."""
    values = column.flatten()
    found = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    if values.null_count or not np.isfinite(found).all():
        raise _NotPlainError
    return found


def all_columns(files: Sequence[Path], damage: Damage) -> list[CocoColumns] | None:
    """The content of all files, if each can be read this way and their keypoints match.

    Args:
        files: the documents.
        damage: records what is repaired or left out; meaningless if not all files can be read.
    """
    found: list[CocoColumns] = []
    for file in files:
        if (columns := read_columns(file, damage)) is None:
            return None
        found.append(columns)
    return found if len({columns.keypoint_values for columns in found} - {0}) <= 1 else None
