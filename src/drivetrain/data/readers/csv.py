"""A table with one row for each image, or for each object on an image."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drivetrain.data.anomaly import mark_anomalies
from drivetrain.data.find_image import ImageFinder, tails
from drivetrain.data.folder_names import is_subset
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataError, DataFormatError
from drivetrain.images.path_column import PATH_COLUMNS
from drivetrain.types import Task

_LABELS = ("label", "labels", "class", "classes", "category", "categories", "target", "tags", "class_name", "species")
_SUBSETS = ("subset", "split", "set", "partition", "fold")
_BOX = ("xmin", "ymin", "xmax", "ymax")
_SIZE = ("width", "height")
_SEPARATORS = "|;, "
_TRUTH = frozenset({"0", "1", "0.0", "1.0", "true", "false", ""})


@dataclass(slots=True)
class _Columns:
    """The positions of the columns; ``None`` for a column that does not exist."""

    path: int
    label: int | None = None
    subset: int | None = None
    one_hot: list[int] = field(default_factory=list)
    box: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    subset: str
    labels: tuple[str, ...]
    box: tuple[float, ...] = ()


def detect(tree: Tree) -> bool:
    """Whether a table at the top of the folder has a column of paths."""
    for name in _tables(tree, ReadRequest()):
        try:
            rows, delimiter = _rows(name)
        except DataFormatError:
            continue
        if delimiter and rows and _columns(rows, str(name), guess=True) is not None:
            return True
    return False


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The rows of all tables; a table named after a subset becomes that subset.

    Raises:
        DataFormatError: there is no table, or none of its columns is named like a path or a label.
        DataError: an image has contradictory labels.
    """
    tables = _tables(tree, request)
    if not tables:
        raise DataFormatError(f"{tree.root} has no .csv or .tsv file at its top or in its folders of subsets.")
    rows: list[_Row] = []
    one_hot_names: list[str] = []
    for table in tables:
        found, names = _read_table(tree, table)
        rows += found
        one_hot_names += [name for name in names if name not in one_hot_names]
    parsed = _assemble(rows, one_hot_names, request)
    parsed.watched = list(tables)
    return parsed


def _tables(tree: Tree, request: ReadRequest) -> list[Path]:
    if request.file is not None:
        return [request.file]
    tables = tree.with_suffix(".csv", ".tsv")
    at_top = [name for name in tables if "/" not in name]
    of_subsets = [name for name in tables if name.count("/") == 1 and is_subset(name.partition("/")[0])]
    return [tree.root / name for name in at_top or of_subsets]


def _rows(path: Path) -> tuple[list[list[str]], str]:
    text = read_text(path)
    first = text.partition("\n")[0]
    delimiter = max("\t,;", key=first.count)
    lines = io.StringIO(text, newline="")  # a quoted cell may contain line breaks
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataFormatError(f"{path} cannot be read as a table: {error}.") from error
    return rows, delimiter if delimiter in first else ""


def _columns(rows: list[list[str]], path: str, *, guess: bool = False) -> _Columns | None:
    """The columns; the first row is the header unless its first cell is an image."""
    header = [cell.strip().lower() for cell in rows[0]]
    if is_image(header[0]) and len(header) >= 2:
        return _Columns(0, 1, 2 if len(header) == 3 else None)
    position = next((header.index(name) for name in PATH_COLUMNS if name in header), None)
    if position is None:
        if guess:
            return None
        raise DataFormatError(
            f"{path}: none of the columns {', '.join(map(repr, rows[0]))} names the images. "
            f"Call the column one of: {', '.join(PATH_COLUMNS)}."
        )
    columns = _Columns(position)
    columns.label = next((header.index(name) for name in _LABELS if name in header), None)
    columns.subset = next((header.index(name) for name in _SUBSETS if name in header), None)
    if all(name in header for name in _BOX):
        columns.box = [header.index(name) for name in _BOX]
    if columns.label is None:
        columns.one_hot = _one_hot(rows, header, columns)
    if columns.label is None and not columns.one_hot:
        if guess:
            return None
        raise DataFormatError(
            f"{path}: none of the columns {', '.join(map(repr, rows[0]))} contains labels. Call it one of: "
            f"{', '.join(_LABELS)}; or give one column of 0 and 1 for each class."
        )
    return columns


def _one_hot(rows: list[list[str]], header: list[str], columns: _Columns) -> list[int]:
    taken = {columns.path, columns.subset, *(header.index(name) for name in _SIZE if name in header)}
    candidates = [index for index in range(len(header)) if index not in taken and header[index]]
    return [
        index
        for index in candidates
        if all(index < len(row) and row[index].strip().lower() in _TRUTH for row in rows[1:])
    ]


def read_rows(
    rows: list[list[str]], request: ReadRequest, where: str, resolve: Callable[[str], str] | None = None
) -> Parsed:
    """A table in memory, whose first row has the names of the columns.

    Args:
        rows: the cells as text.
        request: the user's request.
        where: a description of the table, for messages.
        resolve: maps a path in the table to a file; ``None`` for paths relative to the working directory.

    Raises:
        DataFormatError: no column names the images, or none contains labels.
        DataError: an image has contradictory labels.
    """
    if len(rows) < 2:
        raise DataFormatError(f"{where} is empty.")
    found, names = _read_body(rows, where, resolve or _below_working_directory, "train")
    parsed = _assemble(found, names, request)
    parsed.format = "table"
    return parsed


def _below_working_directory(name: str) -> str:
    return str(Path(name).expanduser().absolute())


def _read_table(tree: Tree, path: Path) -> tuple[list[_Row], list[str]]:
    rows, _ = _rows(path)
    if not rows:
        raise DataFormatError(f"{path} is empty.")
    default = next((subset_name(name) for name in (path.stem, path.parent.name) if is_subset(name)), "train")
    return _read_body(rows, str(path), PathResolver(tree, path.parent), default)


def _read_body(
    rows: list[list[str]], where: str, resolve: Callable[[str], str], default: str
) -> tuple[list[_Row], list[str]]:
    columns = _columns(rows, where)
    assert columns is not None
    body = rows if is_image(rows[0][0].strip()) and columns.path == 0 and columns.label == 1 else rows[1:]
    names = [rows[0][index].strip() for index in columns.one_hot]
    result = []
    for line, row in enumerate(body, start=2):
        needed = max([columns.path, columns.label or 0, *columns.box])
        if len(row) <= needed:
            raise DataFormatError(f"{where}, row {line}: {len(row)} cells, but column {needed + 1} is needed.")
        subset = subset_name(row[columns.subset]) if columns.subset is not None else default
        if columns.one_hot:
            hot = (row[index].strip().lower() in ("1", "1.0", "true") for index in columns.one_hot)
            labels = tuple(name for name, is_set in zip(names, hot, strict=True) if is_set)
        else:
            assert columns.label is not None
            labels = (row[columns.label].strip(),)
        result.append(_Row(resolve(row[columns.path].strip()), subset, labels, _box(row, columns, where, line)))
    return result, names


def _box(row: list[str], columns: _Columns, path: str, line: int) -> tuple[float, ...]:
    """The box of a row; empty cells mean an image without objects."""
    if not any(row[index].strip() for index in columns.box):
        return ()
    try:
        return tuple(float(row[index]) for index in columns.box)
    except ValueError as error:
        raise DataFormatError(f"{path}, row {line}: a box coordinate is not a number ({error}).") from error


class PathResolver:
    """Maps a path in a table to a file: below the table's folder, below one of its folders, or unchanged."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        self._tree, self._finder = tree, ImageFinder(tree)
        self._bases = [folder, *(folder / name for name in ("images", "imgs", "data", "train", "val", "test"))]

    def __call__(self, written: str) -> str:
        """The absolute path of an image by its name in the table; if there is no such file, where it was expected."""
        name = written.replace("\\", "/")
        if Path(name).is_absolute() and self._tree.exists(name):
            return str(Path(name))
        for tail in tails(name) or [name]:
            for position, base in enumerate(self._bases):
                candidate = str(base / tail)
                if self._tree.exists(candidate):
                    if position:
                        self._bases.insert(0, self._bases.pop(position))
                    return candidate
        return self._finder.find(written, self._bases)


def _assemble(rows: Sequence[_Row], one_hot_names: list[str], request: ReadRequest) -> Parsed:
    if any(row.box for row in rows):
        return _objects(rows)
    multiple = bool(one_hot_names) or request.task is Task.MULTILABEL_CLASSIFICATION
    separator = "" if one_hot_names else _separator(rows, request)
    multiple = multiple or bool(separator)
    split = [_split_labels(row, separator) for row in rows]
    names = one_hot_names or sorted({label for labels in split for label in labels}, key=_natural)
    number = {name: index for index, name in enumerate(names)}
    if one_hot_names and request.task is not Task.MULTILABEL_CLASSIFICATION:
        multiple = any(len(labels) != 1 for labels in split)
    merged: dict[tuple[str, str], list[int]] = {}
    repeated = 0
    for row, labels in zip(rows, split, strict=True):
        numbers = [number[label] for label in labels]
        known = merged.setdefault((row.path, row.subset), numbers)
        if known is numbers:
            continue
        repeated += 1
        if not multiple and known != numbers:
            raise DataError(
                f"{row.path} has two labels, {names[known[0]]!r} and {names[numbers[0]]!r}. If images may have "
                "several, give task='multilabel_classification'; otherwise remove one of the rows."
            )
        known += [value for value in numbers if value not in known]
    records = [Record(path, subset, labels=labels) for (path, subset), labels in merged.items()]
    task = Task.MULTILABEL_CLASSIFICATION if multiple else Task.CLASSIFICATION
    parsed = Parsed(records, names, task, "csv")
    if request.task is Task.ANOMALY or request.normal:
        mark_anomalies(parsed, request)
    if repeated:
        parsed.notes.append(f"{repeated} rows name the same image as another row; they were merged.")
    return parsed


def _separator(rows: Sequence[_Row], request: ReadRequest) -> str:
    """The separator between the labels of one cell; ``""`` if each cell is one label.

    A space or a comma may be part of a name, so they count only if what they separate occurs as a label elsewhere,
    or if several labels were asked for.
    """
    if request.task in (Task.CLASSIFICATION, Task.ANOMALY):
        return ""
    cells = {label for row in rows for label in row.labels}
    for sign in _SEPARATORS:
        with_sign = [cell for cell in cells if sign in cell]
        if not with_sign:
            continue
        if sign in "|;" or request.task is Task.MULTILABEL_CLASSIFICATION:
            return sign
        parts = [part.strip() for cell in with_sign for part in cell.split(sign)]
        if all(part in cells for part in parts) or (sign == "," and len(set(parts)) * 2 <= len(parts)):
            return sign
    return ""


def _split_labels(row: _Row, separator: str) -> tuple[str, ...]:
    cells = [part.strip() for label in row.labels for part in (label.split(separator) if separator else [label])]
    return tuple(dict.fromkeys(cell for cell in cells if cell))


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 60, name)


def _objects(rows: Sequence[_Row]) -> Parsed:
    names = sorted({label for row in rows if row.box for label in row.labels}, key=_natural)
    number = {name: index for index, name in enumerate(names)}
    records: dict[str, Record] = {}
    for row in rows:
        record = records.get(row.path)
        if record is None:
            record = records[row.path] = Record(row.path, row.subset, boxes=[], box_labels=[])
        assert record.boxes is not None
        assert record.box_labels is not None
        if row.box:
            record.boxes += row.box
            record.box_labels.append(number[row.labels[0]])
    return Parsed(list(records.values()), names, Task.DETECTION, "csv")
