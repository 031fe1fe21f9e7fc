"""Parquet: files of :mod:`drivetrain.data.writers.parquet`, data sets of the Hugging Face hub, and plain tables.

Images are given by path, or as bytes in the column ``image``; bytes are written to the user's cache once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from drivetrain.data.facts import Facts
from drivetrain.data.folder_names import is_subset, words_of
from drivetrain.data.memory import IMAGE_COLUMNS, cell_text, read_splits
from drivetrain.data.memory_images import stored_image
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.readers.csv import PathResolver, read_rows
from drivetrain.data.table import SCHEMA
from drivetrain.data.tree import Tree, fingerprint_of
from drivetrain.errors import DataFormatError
from drivetrain.images.path_column import PATH_COLUMNS

SUFFIX = ".parquet"
_OWN = b"drivetrain"
_HUB = b"huggingface"
_BATCH = 256  # rows, each of which may contain a picture
_IMAGE = "image"
_LISTS = ("labels", "boxes", "box_labels", "polygons", "keypoints", "area", "iscrowd", "scores", "track_ids")
_OF_OBJECTS = ("polygons", "rles", "keypoints", "area", "iscrowd", "track_ids")
#: Columns that came later; files without them are whole.
_NEW = ("track_ids",)


def detect(tree: Tree) -> bool:
    """Whether there are Parquet files with a column of images."""
    return any(_holds_images(tree.root / name) for name in tree.with_suffix(SUFFIX))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The rows of all files; a file named after a subset becomes that subset.

    Raises:
        DataFormatError: there is no such file, it cannot be read, or no column contains images.
        DataError: the labels cannot be read.
    """
    files = [request.file] if request.file else [tree.root / name for name in tree.with_suffix(SUFFIX)]
    files = [file for file in files if request.file or _holds_images(file)]
    if not files:
        raise DataFormatError(f"{tree.root} has no Parquet file with a column of images ({_known()}).")
    try:
        schemas = {file: pq.read_schema(file) for file in files}
        if any(_OWN in (schema.metadata or {}) for schema in schemas.values()):
            parsed = _own(files)
        elif all(map(_has_pictures, schemas.values())):
            parsed = read_splits(_splits(schemas), request, "parquet")
        else:
            parsed = _table(tree, files, request)
    except (pa.ArrowException, OSError) as error:
        raise DataFormatError(f"{files[0]} cannot be read as Parquet: {error}.") from error
    parsed.watched = list(files)
    return parsed


def _known() -> str:
    return ", ".join((*IMAGE_COLUMNS, *PATH_COLUMNS))


def _holds_images(file: Path) -> bool:
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError):
        return False
    return bool(_column(IMAGE_COLUMNS, schema) or _column(PATH_COLUMNS, schema))


def _has_pictures(schema: pa.Schema) -> bool:
    """Whether the column of images has their contents rather than their paths."""
    name = _column(IMAGE_COLUMNS, schema)
    return name is not None and not pa.types.is_string(schema.field(name).type)


def _column(names: tuple[str, ...], schema: pa.Schema) -> str | None:
    return next((name for name in names if name in schema.names), None)


# ---------------------------------------------------------------------- our own files


def _own(files: list[Path]) -> Parsed:
    """All columns as written."""
    if len(files) > 1:
        raise DataFormatError(
            f"{files[0].parent} contains {len(files)} data sets in Parquet: {', '.join(f.name for f in files[:8])}. "
            "Give one of the files."
        )
    file = files[0]
    content = pq.ParquetFile(file)
    try:
        facts = Facts.from_json(content.schema_arrow.metadata[_OWN])
    except (KeyError, TypeError, ValueError) as error:
        raise DataFormatError(f"{file} was not written by drivetrain, or its metadata are damaged: {error}.") from error
    missing = [name for name in SCHEMA.names if name not in (*content.schema_arrow.names, *_NEW)]
    if missing:
        raise DataFormatError(f"{file} lacks the columns {', '.join(missing)}, which every data set of drivetrain has.")
    parsed = Parsed([], list(facts.label_names), facts.task, "parquet", annotated=facts.annotated)
    parsed.keypoint_names = facts.keypoint_names
    known = [name for name in SCHEMA.names if name in content.schema_arrow.names]
    embedded = [_IMAGE] if _IMAGE in content.schema_arrow.names else []
    for batch in content.iter_batches(batch_size=_BATCH, columns=[*known, *embedded]):
        rows = batch.to_pylist()
        for row in rows:
            parsed.records.append(_record(row, file, f"{file}, row {len(parsed.records)}", facts))
    return parsed


def _record(row: Mapping[str, Any], file: Path, where: str, facts: Facts) -> Record:
    image = row.get(_IMAGE)
    held = image.get("bytes") if isinstance(image, dict) else image
    path = stored_image(held, where, fingerprint_of([str(file)])) if held else ""
    record = Record(path or str(file.parent / str(row["path"])), str(row["subset"] or "train"))
    if row["height"] and row["width"]:
        record.size = (row["height"], row["width"])
    record.image_id, record.anomalous = row["image_id"], row["anomalous"]
    record.mask_path = None if row["mask_path"] is None else str(file.parent / row["mask_path"])
    for name in _LISTS:
        setattr(record, name, row.get(name))
    record.labels = record.labels or []
    if row["rles"] is not None:
        record.rles = [rle and {"size": [rle["height"], rle["width"]], "counts": rle["counts"]} for rle in row["rles"]]
    _require_whole(record, where, facts)
    return record


def _require_whole(record: Record, where: str, facts: Facts) -> None:
    """Refuse rows whose lists do not match each other: something else has changed the file.

    Raises:
        DataFormatError: the message names the row and the column.
    """
    labels = [*record.labels, *(record.box_labels or ())]
    if any(label is None or not 0 <= label < len(facts.label_names) for label in labels):
        raise DataFormatError(f"{where}: a label is not one of the {len(facts.label_names)} in the file.")
    count = len(record.box_labels or ())
    if len(record.boxes or ()) != 4 * count:
        raise DataFormatError(f"{where}: {len(record.boxes or ())} numbers of boxes for {count} objects.")
    for name in _OF_OBJECTS:
        values = getattr(record, name)
        if values is not None and len(values) != count:
            raise DataFormatError(f"{where}: the column {name!r} has {len(values)} entries for {count} objects.")


# ---------------------------------------------------------------------- of others


@dataclass(frozen=True, slots=True)
class _Part:
    """The files of one subset, as a split of a data set of the library ``datasets``.

    Attributes:
        features: the types of the columns, as far as the file says.
        files: the files in order.
    """

    features: Mapping[str, Any]
    files: list[Path]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for file in self.files:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    yield {name: _placed(value, file) for name, value in row.items()}


def _placed(value: Any, file: Path) -> Any:
    """The value; the path of an image outside the file is taken relative to its folder."""
    if isinstance(value, dict) and value.get("path") and value.keys() == {"bytes", "path"} and not value["bytes"]:
        return {"bytes": None, "path": str(file.parent / str(value["path"]))}
    return value


def _splits(schemas: Mapping[Path, pa.Schema]) -> dict[str, _Part]:
    splits: dict[str, _Part] = {}
    for file, schema in schemas.items():
        part = splits.setdefault(_subset(file), _Part(_features(schema), []))
        part.files.append(file)
    return splits


def _subset(file: Path) -> str:
    """The subset named by the file, such as ``train-00000-of-00002``, or by its folder."""
    words = [*words_of(file.stem), file.parent.name]
    return next((subset_name(word) for word in words if is_subset(word)), "train")


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The types of the columns in the hub's metadata; empty if there are none."""
    found: dict[str, Any] = {name: SimpleNamespace(names=None) for name in schema.names}
    try:
        told = json.loads((schema.metadata or {})[_HUB])["info"]["features"]
        found |= {name: _feature(told[name]) for name in schema.names if name in told}
    except (KeyError, TypeError, ValueError):  # a plain file, or metadata of another kind
        return found
    return found


def _feature(told: Any) -> Any:
    if isinstance(told, list):
        return SimpleNamespace(names=None, feature=_feature(told[0]) if told else None)
    if not isinstance(told, dict):
        return SimpleNamespace(names=None)
    if "_type" not in told:
        return {str(name): _feature(inner) for name, inner in told.items()}
    inner = _feature(told["feature"]) if "feature" in told else None
    return SimpleNamespace(names=told.get("names"), feature=inner)


def _table(tree: Tree, files: list[Path], request: ReadRequest) -> Parsed:
    """Rows of paths and labels, as in a CSV file; a column ``subset`` is added if the file names say it."""
    rows: list[list[str]] = []
    for file in files:
        content = pq.read_table(file)
        columns = content.column_names
        told = [] if len(files) == 1 or "subset" in columns else ["subset"]
        if rows and rows[0] != [*columns, *told]:
            raise DataFormatError(f"{file} has different columns from {files[0].name}: {', '.join(columns)}.")
        rows = rows or [[*columns, *told]]
        lists = [content.column(name).to_pylist() for name in columns]
        rows += [[*map(cell_text, cells), *([_subset(file)] if told else [])] for cells in zip(*lists, strict=True)]
    parsed = read_rows(rows, request, str(files[0]), PathResolver(tree, files[0].parent))
    parsed.format = "parquet"
    return parsed
