"""YOLO: one ``.txt`` per image with boxes, polygons, keypoints or oriented boxes as fractions of its size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from drivetrain.data.geometry import polygon_box
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers.yolo_layout import ImageSet, image_sets
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task

_TASKS = {
    "detect": Task.DETECTION,
    "segment": Task.INSTANCE_SEGMENTATION,
    "pose": Task.KEYPOINT_DETECTION,
    "obb": Task.ORIENTED_DETECTION,
}
_NAME_FILES = ("classes.txt", "obj.names", "names.txt", "data.names", "labels/classes.txt")
_CORNERS = 8
_EQUAL = 2e-3  # of the image size: files contain rounded numbers
_MOSTLY = 0.9  # boxes at the border of an image are clipped


@dataclass(slots=True)
class _Lines:
    """Properties of the lines of all files."""

    boxes: int = 0
    polygons: int = 0
    parallelograms: int = 0
    faults: list[str] = field(default_factory=list)


def detect(tree: Tree) -> bool:
    """Whether there is a ``data.yaml``, or label files next to images or in ``labels/`` next to ``images/``."""
    if config_file(tree) is not None:
        return True
    if not tree.with_suffix(".txt"):
        return False
    return any(sets.labels for sets in image_sets(tree, None, {}, []))


def config_file(tree: Tree) -> Path | None:
    """The top-level ``.yaml`` file that names the classes."""
    for name in tree.with_suffix(".yaml", ".yml"):
        if "/" in name:
            continue
        try:
            content = yaml.safe_load(read_text(tree.root / name))
        except yaml.YAMLError:
            continue
        if isinstance(content, dict) and ("names" in content or "nc" in content):
            return tree.root / name
    return None


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """All images of the sets named in ``data.yaml`` or given by the folders.

    Raises:
        DataFormatError: ``data.yaml`` or a label file is malformed.
        DataError: a class number has no name.
    """
    file = request.file or config_file(tree)
    config = _config(file) if file else {}
    notes: list[str] = []
    sets = image_sets(tree, file, config, notes)
    task = request.task or _TASKS.get(str(config.get("task", "")))
    points = _keypoint_shape(config, file)
    names = _names(config, tree, file)
    parsed = Parsed([], names, Task.DETECTION, "yolo", notes)
    if notes and request.strict:
        raise DataFormatError(f"strict=True: {notes[0]} Repair it, or load without strict.")
    if points and task in (None, Task.KEYPOINT_DETECTION):
        parsed.keypoint_names = _keypoint_names(config, points[0])
        task = Task.KEYPOINT_DETECTION
    seen = _Lines()
    for part in sets:
        _read_set(part, parsed, seen, task, points)
    if seen.faults:
        text = f"{len(seen.faults)} lines of label files are malformed: {seen.faults[0]}"
        if request.strict:
            raise DataFormatError(f"strict=True: {text}.")
        parsed.notes.append(text + "; they were left out.")
    parsed.task = _inferred(task, seen, parsed.notes)
    if not names:
        count = 1 + max((label for r in parsed.records for label in r.box_labels or ()), default=-1)
        parsed.label_names = [f"class_{index}" for index in range(count)]
        parsed.notes.append("The classes have no names; add a data.yaml with 'names', or a classes.txt.")
    return parsed


def _config(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise DataFormatError(f"{file} is not valid YAML: {error}.") from error
    if not isinstance(content, dict):
        raise DataFormatError(f"{file} is not a YOLO data file: it should map train, val and names to values.")
    return content


def _names(config: dict[str, Any], tree: Tree, file: Path | None) -> list[str]:
    names = config.get("names")
    if isinstance(names, dict):
        numbers = sorted(int(key) for key in names)
        if numbers != list(range(len(numbers))):
            raise DataFormatError(f"{file}: the numbers of 'names' are {numbers}; they must be 0 to {len(names) - 1}.")
        by_number = {int(key): str(name) for key, name in names.items()}
        names = [by_number[number] for number in numbers]
    if isinstance(names, list):
        if config.get("nc", len(names)) != len(names):
            raise DataFormatError(
                f"{file}: nc={config['nc']}, but 'names' has {len(names)} ({', '.join(map(str, names[:5]))}). "
                "Give as many names as there are classes, or leave nc out."
            )
        return [str(name) for name in names]
    if "nc" in config:
        return [f"class_{index}" for index in range(int(config["nc"]))]
    for candidate in _NAME_FILES:
        if candidate in tree.files:
            lines = read_text(tree.root / candidate).splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _keypoint_shape(config: dict[str, Any], file: Path | None) -> tuple[int, int] | None:
    shape = config.get("kpt_shape")
    if shape is None:
        return None
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3):
        raise DataFormatError(f"{file}: kpt_shape={shape!r} must be [number of points, 2 or 3].")
    return int(shape[0]), int(shape[1])


def _keypoint_names(config: dict[str, Any], count: int) -> tuple[str, ...]:
    names = config.get("kpt_names")
    if isinstance(names, dict) and names:
        names = next(iter(names.values()))
    if isinstance(names, list) and len(names) == count:
        return tuple(str(name) for name in names)
    return tuple(f"point_{index}" for index in range(count))


def _read_set(part: ImageSet, parsed: Parsed, seen: _Lines, task: Task | None, points: tuple[int, int] | None) -> None:
    for image in part.images:
        record = Record(image, part.subset, boxes=[], box_labels=[], normalised=True)
        parsed.records.append(record)
        label_file = part.labels.get(image)
        if label_file is None:
            continue
        for number, line in enumerate(read_text(Path(label_file)).splitlines(), start=1):
            if not (cells := line.split()):
                continue
            try:
                values = [float(cell) for cell in cells[1:]]
                if not all(map(math.isfinite, values)):
                    raise ValueError("a non-finite number")
                label = int(float(cells[0]))
                _add(record, label, values, task, points, seen)
            except (ValueError, OverflowError) as error:
                seen.faults.append(f"{label_file}:{number} ({error})")
                continue
            if label < 0 or (parsed.label_names and label >= len(parsed.label_names)):
                raise DataError(
                    f"{label_file}:{number} has the class number {label}, but 'names' has only 0 to "
                    f"{len(parsed.label_names) - 1} ({', '.join(parsed.label_names[:5])})."
                )
        if record.polygons is not None and not any(record.polygons):
            record.polygons = None


def _add(
    record: Record,
    label: int,
    values: list[float],
    task: Task | None,
    points: tuple[int, int] | None,
    seen: _Lines,
) -> None:
    assert record.boxes is not None
    assert record.box_labels is not None
    keypoints: list[float] = []
    rings: list[list[float]] = []
    if points and task is Task.KEYPOINT_DETECTION:
        if len(values) != 4 + points[0] * points[1]:
            raise ValueError(f"{len(values)} numbers, {4 + points[0] * points[1]} expected for kpt_shape {points}")
        values, keypoints = values[:4], _visible(values[4:], points[1])
    if len(values) in (4, 5) and task is not Task.ORIENTED_DETECTION:
        seen.boxes += 1
        box = _corners(*values[:4])
    elif len(values) >= 6 and len(values) % 2 == 0:
        if task is Task.ORIENTED_DETECTION and len(values) != _CORNERS:
            raise ValueError(f"{len(values)} numbers, 8 expected for an oriented box")
        seen.polygons += 1
        seen.parallelograms += _is_parallelogram(values)
        rings = [values]
        box = polygon_box(rings)
    else:
        raise ValueError(f"{len(values)} numbers after the class")
    record.boxes += box
    record.box_labels.append(label)
    record.polygons = [*(record.polygons or [[] for _ in record.box_labels[:-1]]), rings]
    if points and task is Task.KEYPOINT_DETECTION:
        record.keypoints = [*(record.keypoints or []), keypoints]


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _visible(values: list[float], dimensions: int) -> list[float]:
    """Triples ``x, y, visibility``; points without visibility are visible unless they are at 0, 0."""
    if dimensions == 3:
        return values
    triples: list[float] = []
    for x, y in zip(values[0::2], values[1::2], strict=True):
        triples += [x, y, 2.0 if x or y else 0.0]
    return triples


def _is_parallelogram(values: list[float]) -> bool:
    """Whether an outline has four corners and equal opposite sides, as a rotated rectangle has in any unit."""
    if len(values) != _CORNERS:
        return False
    return all(abs(values[i] + values[i + 4] - values[i + 2] - values[i + 6]) < _EQUAL for i in (0, 1))


def _inferred(task: Task | None, seen: _Lines, notes: list[str]) -> Task:
    if task in _TASKS.values():
        assert task is not None
        return task
    if seen.polygons and not seen.boxes and seen.parallelograms >= _MOSTLY * seen.polygons:
        notes.append(
            "Every outline is a rectangle, so these are oriented boxes; if they are outlines of objects, give "
            "task='instance_segmentation' (--task instance_segmentation)."
        )
        return Task.ORIENTED_DETECTION
    return Task.INSTANCE_SEGMENTATION if seen.polygons > seen.boxes else Task.DETECTION
