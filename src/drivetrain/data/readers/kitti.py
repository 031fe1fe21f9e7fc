"""KITTI object detection: ``image_2`` with ``label_2`` next to it, one ``.txt`` per image."""

from __future__ import annotations

from pathlib import Path

from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_IMAGES, _LABELS = "image_2", "label_2"
_REGION = "DontCare"
_CELLS = 15


def detect(tree: Tree) -> bool:
    """Whether there are folders ``image_2`` and ``label_2`` next to each other."""
    return bool(_pairs(tree))


def read(tree: Tree, _: ReadRequest) -> Parsed:
    """The boxes of all labelled images; ``DontCare`` regions and images without a label file are skipped.

    Raises:
        DataFormatError: there are no such folders, or a line is malformed.
    """
    pairs = _pairs(tree)
    if not pairs:
        raise DataFormatError(f"{tree.root} is not in the KITTI format: it has no {_IMAGES} next to {_LABELS}.")
    found: list[tuple[Record, list[str]]] = []
    unlabelled, regions = 0, 0
    for prefix in pairs:
        subset = subset_name(prefix.rstrip("/").rpartition("/")[2]) if prefix else "train"
        for image in tree.images:
            if not image.startswith(f"{prefix}{_IMAGES}/"):
                continue
            name = image.removeprefix(f"{prefix}{_IMAGES}/").rpartition(".")[0]
            label_file = f"{prefix}{_LABELS}/{name}.txt"
            if label_file not in tree.files:
                unlabelled += 1
                continue
            record = Record(tree.absolute(image), subset, boxes=[])
            names, ignored = _read_file(Path(tree.absolute(label_file)), record)
            regions += ignored
            found.append((record, names))
    labels = sorted({name for _, names in found for name in names})
    for record, names in found:
        record.box_labels = [labels.index(name) for name in names]
    parsed = Parsed([record for record, _ in found], labels, Task.DETECTION, "kitti")
    if unlabelled:
        parsed.notes.append(f"{unlabelled} images have no label file and were left out.")
    if regions:
        parsed.notes.append(f"{regions} regions named {_REGION!r} were left out.")
    return parsed


def _pairs(tree: Tree) -> list[str]:
    """The path before ``image_2/`` of each folder that has a ``label_2`` next to it."""
    folders = set(tree.folders)
    prefixes = [name.removesuffix(_IMAGES) for name in tree.folders if name.rpartition("/")[2] == _IMAGES]
    return [prefix for prefix in prefixes if f"{prefix}{_LABELS}" in folders]


def _read_file(file: Path, record: Record) -> tuple[list[str], int]:
    names, regions = [], 0
    assert record.boxes is not None
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        if cells[0] == _REGION:
            regions += 1
            continue
        if len(cells) < _CELLS:
            raise DataFormatError(f"{file}:{number} has {len(cells)} values, {_CELLS} expected.")
        try:
            record.boxes += [float(cell) for cell in cells[4:8]]
        except ValueError as error:
            raise DataFormatError(f"{file}:{number}: {error}.") from error
        names.append(cells[0])
    return names, regions
