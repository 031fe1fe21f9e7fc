"""Objects labelled by name, collected by readers of formats that have no list of classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.damage import Damage
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.geometry import polygon_box
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.text import read_json
from drivetrain.data.tree import Tree
from drivetrain.images import rle as run_length
from drivetrain.types import Task

UNNAMED = "object"
_ARC = 32  # the corners of a circle as a polygon


@dataclass(slots=True)
class LabelledObjects:
    """Records with the label names of their objects.

    Attributes:
        damage: records what cannot be used.
        records: one for each image.
        names: the label names of each record's objects.
        labels: the label names of each record's whole image.
        unused: kind of shape -> how many were left out.
        skipped: ``(path, reason)`` of annotations without an image.
        oriented: whether an outline is a rotated rectangle.
    """

    damage: Damage
    records: list[Record] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)
    labels: list[list[str]] = field(default_factory=list)
    unused: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    oriented: bool = False

    def start(self, record: Record) -> None:
        """Start the next image."""
        record.boxes, record.polygons, record.rles = [], [], []
        self.records.append(record)
        self.names.append([])
        self.labels.append([])

    def add_box(self, name: str, box: Sequence[float]) -> None:
        """Add an object by its corners ``x1, y1, x2, y2`` in pixels."""
        self._add(name, box, [])

    def add_rings(self, name: str, rings: list[list[float]]) -> None:
        """Add an object by its outlines, each ``x, y, x, y, ...`` in pixels."""
        self._add(name, polygon_box(rings), rings)

    def add_mask(self, name: str, mask: NDArray[np.bool_]) -> None:
        """Add an object by its pixels, ``(H, W)`` of the whole image."""
        rle = run_length.encode_mask(mask)
        self._add(name, run_length.box_of(rle), [], rle)

    def extend(self, index: int, ring: list[float]) -> None:
        """Add an outline to an existing object of the current image."""
        record = self.records[-1]
        assert record.polygons is not None
        assert record.boxes is not None
        record.polygons[index].append(ring)
        record.boxes[4 * index : 4 * index + 4] = polygon_box(record.polygons[index])

    def _add(
        self, name: str, box: Sequence[float], rings: list[list[float]], rle: dict[str, object] | None = None
    ) -> None:
        record = self.records[-1]
        assert record.boxes is not None
        assert record.polygons is not None
        assert record.rles is not None
        record.rles.append(rle)
        record.boxes += box
        record.polygons.append(rings)
        self.names[-1].append(name)

    def parsed(self, name: str) -> Parsed:
        """All records, with label numbers instead of names; objects take precedence over labels of whole images."""
        with_objects = any(self.names)
        chosen = self.names if with_objects else self.labels
        found = sorted({label for row in chosen for label in row})
        number = {label: index for index, label in enumerate(found)}
        outlines = 0
        for record, row in zip(self.records, chosen, strict=True):
            numbers = [number[label] for label in row]
            outlines += sum(map(bool, (*(record.polygons or ()), *(record.rles or ()))))
            record.polygons = record.polygons if any(record.polygons or ()) else None
            record.rles = record.rles if any(record.rles or ()) else None
            if with_objects:
                record.box_labels = numbers
            else:
                record.boxes, record.labels = None, list(dict.fromkeys(numbers))
        parsed = Parsed(self.records, found, self._task(outlines, with_objects=with_objects), name)
        parsed.notes += self.damage.notes()
        parsed.skipped = self.skipped
        if with_objects and found == [UNNAMED]:
            parsed.notes.append(f"The objects have no labels: all are {UNNAMED!r}.")
        if self.unused:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.unused.items()))
            parsed.notes.append(f"Annotations of unused kinds were left out: {counts}.")
        return parsed

    def _task(self, outlines: int, *, with_objects: bool) -> Task:
        if not with_objects:
            several = any(len(row) != 1 for row in self.labels)
            return Task.MULTILABEL_CLASSIFICATION if several else Task.CLASSIFICATION
        if self.oriented:
            return Task.ORIENTED_DETECTION
        return Task.INSTANCE_SEGMENTATION if 2 * outlines > sum(map(len, self.names)) else Task.DETECTION


def json_files(tree: Tree, request: ReadRequest, fits: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """The JSON files of a format, with their contents.

    Raises:
        DataFormatError: a file is not JSON.
    """
    names = [str(request.file)] if request.file else [tree.absolute(name) for name in tree.with_suffix(".json")]
    for name in names:
        document = read_json(name)
        if fits(document):
            yield name, document


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> list[float]:
    """The ring of an ellipse given its centre, its half axes and its rotation in degrees, clockwise as seen."""
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    ring = []
    for step in range(_ARC):
        angle = 2 * math.pi * step / _ARC
        right, low = across * math.cos(angle), down * math.sin(angle)
        ring += [x + right * cosine - low * sine, y + right * sine + low * cosine]
    return ring


def image_named(finder: ImageFinder, tree: Tree, written: str, beside: str) -> str | None:
    """The image named by an annotation file; ``None`` if it does not exist.

    Args:
        finder: searches the tree.
        tree: the files.
        written: the name as written in the annotation.
        beside: the absolute path of the annotation file.
    """
    folder = tree.root / (tree.relative(beside) or "x").rpartition("/")[0]
    path = finder.find(written, [folder, tree.root, folder / "images", tree.root / "images"])
    return path if tree.exists(path) else None
