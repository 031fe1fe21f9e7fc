"""The full ADE20K: next to each image ``x_seg.png``, and its objects in ``x_atr.txt`` (2016) or ``x.json`` (2020).

The scene parsing set, with 150 classes in ``annotations``, is read by :mod:`drivetrain.data.readers.mask_folder`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drivetrain.data.damage import Damage, rings_of
from drivetrain.data.folder_names import subset_in
from drivetrain.data.geometry import polygon_box
from drivetrain.data.instance_masks import add_instances, read_pixels
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task

_MAP = "_seg.png"
_LINES = "_atr.txt"
_IMAGES = (".jpg", ".jpeg", ".png")
_COLUMNS = 6  # of a line: instance, level of parts, occluded, class, class as written, attributes


@dataclass(slots=True)
class _Reading:
    """What is collected while the images are read."""

    damage: Damage
    names: dict[str, int] = field(default_factory=dict)
    parts: int = 0

    def label(self, name: str) -> int:
        """The number of a class; a new class gets a new number."""
        return self.names.setdefault(name.strip(), len(self.names))


def detect(tree: Tree) -> bool:
    """Whether there is an image with ``x_seg.png`` and a text file of its objects."""
    return next(_images(tree), None) is not None


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The objects of the images with their outlines (2020) or masks (2016); parts of objects are left out.

    Raises:
        DataFormatError: no image has such files.
    """
    reading = _Reading(Damage(strict=request.strict))
    parsed = Parsed([], [], Task.INSTANCE_SEGMENTATION, "ade20k")
    for image, stem in _images(tree):
        record = Record(tree.absolute(image), subset_in(image.rpartition("/")[0]), boxes=[], box_labels=[])
        parsed.used.update(tree.absolute(name) for name in _maps_of(tree, stem))
        try:
            if f"{stem}{_LINES}" in tree.files:
                _of_lines(reading, record, tree.absolute(f"{stem}{_LINES}"), tree.absolute(f"{stem}{_MAP}"))
            else:
                _of_outlines(reading, record, tree.absolute(f"{stem}.json"))
        except DataError as error:
            parsed.skipped.append((record.path, str(error)))
            continue
        parsed.records.append(record)
    if not parsed.records and not parsed.skipped:
        raise DataFormatError(
            f"{tree.root} is not in the format 'ade20k': no image has x{_MAP} and x{_LINES} or x.json."
        )
    _sort_names(parsed, reading)
    parsed.notes += reading.damage.notes()
    if reading.parts:
        parsed.notes.append(f"{reading.parts} parts of objects were left out; only whole objects are read.")
    return parsed


def _sort_names(parsed: Parsed, reading: _Reading) -> None:
    """Number the classes in the order of their names."""
    parsed.label_names = sorted(reading.names)
    number = {reading.names[name]: index for index, name in enumerate(parsed.label_names)}
    for record in parsed.records:
        record.box_labels = [number[label] for label in record.box_labels or ()]


def _images(tree: Tree) -> Iterator[tuple[str, str]]:
    """The images, each with its path without the suffix."""
    for name in tree.with_suffix(".png"):
        stem = name.removesuffix(_MAP)
        if stem != name and (f"{stem}{_LINES}" in tree.files or f"{stem}.json" in tree.files):
            found = [f"{stem}{suffix}" for suffix in _IMAGES if f"{stem}{suffix}" in tree.files]
            if found:
                yield found[0], stem


def _maps_of(tree: Tree, stem: str) -> Iterator[str]:
    """The map of the objects, the maps of their parts, and the folder with one mask per object."""
    folder, _, name = stem.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    yield f"{stem}{_MAP}"
    level = 1
    while (part := f"{prefix}{name}_parts_{level}.png") in tree.files:
        yield part
        level += 1
    yield from (f"{stem}/{file}" for file in tree.by_folder.get(stem, []))


def _of_lines(reading: _Reading, record: Record, file: str, mask: str) -> None:
    """The lines of the 2016 release: the third channel of the map has the instances, in the order of its values."""
    pixels = read_pixels(mask)
    if pixels.ndim != 3 or pixels.shape[2] < 3:
        raise DataError(f"the map {mask!r} does not have three channels.")
    _, inverse = np.unique(pixels[..., 2], return_inverse=True)
    instances = inverse.reshape(pixels.shape[:2])
    found = []
    for number, line in enumerate(_text(file).splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("#")]
        if not line.strip():
            continue
        if len(cells) != _COLUMNS or not (cells[0].isdecimal() and cells[1].isdecimal() and cells[3]):
            reading.damage.add("are no lines of six values between #; they were left out", f"{file}, line {number}")
        elif int(cells[1]):
            reading.parts += 1
        else:
            found.append((int(cells[0]), reading.label(cells[3])))
    add_instances(record, instances, found)


def _text(file: str) -> str:
    try:
        return read_text(Path(file))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _of_outlines(reading: _Reading, record: Record, file: str) -> None:
    """The polygons of the 2020 release."""
    try:
        entries = json.loads(_text(file))["annotation"]["object"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file} has no list of objects: {type(error).__name__} {error}.") from error
    polygons: list[list[list[float]]] = []
    for place, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        where = f"{file}, object {place}"
        if not isinstance(entry, dict) or not (name := entry.get("name") or entry.get("raw_name")):
            reading.damage.add("have no class and were left out", where)
            continue
        if _level(entry):
            reading.parts += 1
            continue
        rings = rings_of([_ring(entry.get("polygon"))], reading.damage, where)
        if not rings:
            continue
        assert record.boxes is not None
        assert record.box_labels is not None
        record.boxes += polygon_box(rings)
        record.box_labels.append(reading.label(str(name)))
        polygons.append(rings)
    record.polygons = polygons or None


def _level(entry: dict[str, Any]) -> int:
    """The depth in the tree of parts; 0 for an object."""
    parts = entry.get("parts")
    level = parts.get("part_level") if isinstance(parts, dict) else 0
    return level if isinstance(level, int) else 0


def _ring(polygon: Any) -> Sequence[Any]:
    xs, ys = (polygon.get(axis) if isinstance(polygon, dict) else None for axis in ("x", "y"))
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        return [None]
    return [value for point in zip(xs, ys, strict=True) for value in point]
