"""CelebA: faces, each with attributes, five landmarks, a box and a person; one text table for each of these.

The tables are as published (``list_attr_celeba.txt``), or with commas and a header (``.csv``). The annotations
serve several tasks: the attributes are read, or what the requested task needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from drivetrain.data.damage import Damage, numbers
from drivetrain.data.geometry import polygon_box
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_ATTRIBUTES, _LANDMARKS, _BOXES = "list_attr_celeba", "list_landmarks_celeba", "list_bbox_celeba"
_ALIGNED_LANDMARKS = "list_landmarks_align_celeba"
_PERSONS, _SUBSETS = "identity_celeba", "list_eval_partition"
_TABLES = frozenset({_ATTRIBUTES, _LANDMARKS, _BOXES, _ALIGNED_LANDMARKS, _PERSONS, _SUBSETS})
_SUBSET_NAMES = {"0": "train", "1": "val", "2": "test"}
_TASKS = {
    _ATTRIBUTES: Task.MULTILABEL_CLASSIFICATION,
    _LANDMARKS: Task.KEYPOINT_DETECTION,
    _BOXES: Task.DETECTION,
    _PERSONS: Task.CLASSIFICATION,
}
_FACE = "face"


@dataclass(frozen=True, slots=True)
class _FaceTable:
    """A table: the names of its columns, without the image's, and its cells by image name without suffix."""

    file: str
    columns: tuple[str, ...]
    rows: dict[str, list[str]]


def detect(tree: Tree) -> bool:
    """Whether there are images, and tables named like CelebA's."""
    return bool(tree.images) and not _files(tree).keys().isdisjoint((_ATTRIBUTES, _PERSONS, _ALIGNED_LANDMARKS))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The existing images with one kind of annotation; a note says which others there are.

    Raises:
        DataFormatError: there is no table, or not the one that the task needs.
    """
    files = _files(tree)
    there = [kind for kind in _TASKS if kind in files or (kind == _LANDMARKS and _ALIGNED_LANDMARKS in files)]
    kind = next((kind for kind in there if request.task is _TASKS[kind]), there[0] if there else "")
    if not kind:
        raise DataFormatError(f"{tree.root} is not in the format 'celeba': it has no {_ATTRIBUTES}.txt or the like.")
    images = _images(tree, aligned=kind != _BOXES)
    aligned = any("align" in name for name in images.values())
    if kind == _LANDMARKS and _ALIGNED_LANDMARKS in files and (aligned or _LANDMARKS not in files):
        table = _table(tree, files[_ALIGNED_LANDMARKS])
    else:
        table = _table(tree, files[kind])
    parsed = Parsed([], [], _TASKS[kind], "celeba")
    subsets = _table(tree, files[_SUBSETS]).rows if _SUBSETS in files else {}
    damage = Damage(strict=request.strict)
    for stem, cells in table.rows.items():
        if stem in images:
            subset = _SUBSET_NAMES.get(subsets[stem][0], "train") if subsets.get(stem) else "train"
            record = Record(tree.absolute(images[stem]), subset)
            if _annotate(record, kind, cells, table, damage, f"{table.file}, {stem}"):
                parsed.records.append(record)
    _name_labels(parsed, kind, table)
    parsed.notes += damage.notes()
    if missing := sum(stem not in images for stem in table.rows):
        parsed.notes.append(f"{missing} of {len(table.rows)} rows of {table.file} are about images that do not exist.")
    if others := [f"task={_TASKS[other].value!r}" for other in there if other != kind]:
        parsed.notes.append(f"Read for {parsed.task.value}; the tables also serve {', '.join(others)}.")
    return parsed


def _files(tree: Tree) -> dict[str, str]:
    """The tables by name without suffix; unrelated text files, one for each image, may be among them."""
    stems = ((name.rpartition("/")[2].rpartition(".")[0].lower(), name) for name in tree.with_suffix(".txt", ".csv"))
    return {stem: name for stem, name in stems if stem in _TABLES}


def _images(tree: Tree, *, aligned: bool) -> dict[str, str]:
    """The images by name without suffix; if there are two kinds of images, the requested one."""
    kinds: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for name in tree.images:
        path = PurePosixPath(name)
        kinds["align" in str(path.parent)].setdefault(path.stem, name)
    return kinds[aligned] or kinds[not aligned]


def _table(tree: Tree, name: str) -> _FaceTable:
    lines = read_text(tree.root / name).splitlines()
    separator = "," if name.lower().endswith(".csv") else None
    rows = [[cell.strip() for cell in line.split(separator)] for line in lines if line.strip()]
    columns: tuple[str, ...] = ()
    found: dict[str, list[str]] = {}
    for row in rows:
        if is_image(row[0]):
            found[PurePosixPath(row[0]).stem] = row[1:]
        elif len(row) > 1 and not found:  # a line with one cell is the number of rows
            columns = tuple(row[1:] if row[0].lower() == "image_id" else row)
    return _FaceTable(name, columns, found)


def _annotate(record: Record, kind: str, cells: list[str], table: _FaceTable, damage: Damage, place: str) -> bool:
    """Fill in the annotations of a row; returns whether the image can be used."""
    if kind == _PERSONS:
        record.labels = [int(cells[0])] if cells and cells[0].isdecimal() else []
        if not record.labels:
            damage.add("name no person; their images were left out", place)
        return bool(record.labels)
    values = numbers(cells)
    if values is None or len(values) != len(table.columns):
        damage.add("do not have one number for each column; their images were left out", place)
        return False
    if kind == _ATTRIBUTES:
        record.labels = [index for index, value in enumerate(values) if value > 0]
        return True
    record.box_labels = [0]
    if kind == _BOXES:
        x, y, width, height = values[:4] if len(values) >= 4 else (0.0, 0.0, 0.0, 0.0)
        record.boxes = [x, y, x + width, y + height]
    else:
        record.boxes = [*polygon_box([values])]
        record.keypoints = [[v for x, y in zip(values[0::2], values[1::2], strict=True) for v in (x, y, 2.0)]]
    return True


def _name_labels(parsed: Parsed, kind: str, table: _FaceTable) -> None:
    """The label names: the columns, the persons, or "face"."""
    if kind == _ATTRIBUTES:
        parsed.label_names = list(table.columns)
    elif kind == _PERSONS:
        persons = sorted({label for record in parsed.records for label in record.labels})
        number = {person: index for index, person in enumerate(persons)}
        parsed.label_names = [str(person) for person in persons]
        for record in parsed.records:
            record.labels = [number[label] for label in record.labels]
    else:
        parsed.label_names = [_FACE]
        if kind == _LANDMARKS:
            parsed.keypoint_names = tuple(name.removesuffix("_x") for name in table.columns[0::2])
