"""One folder for each class, as ImageNet has it, with or without a level of subsets above."""

from __future__ import annotations

import unicodedata
from collections import Counter

from drivetrain.data.anomaly import is_normal_name, normal_labels
from drivetrain.data.read_record import SUBSET_SPELLINGS, Parsed, ReadRequest, Record, subset_name
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError
from drivetrain.types import Task


def detect(tree: Tree) -> bool:
    """Whether there are images in folders."""
    return any("/" in name for name in tree.images)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of all class folders; deeper folders belong to the class above them.

    A class has one name in Unicode's composed form (NFC), in whichever form its folders are written.

    Raises:
        DataError: a class has no images and ``strict`` was asked, or a task that class folders cannot have.
    """
    tops = {name.partition("/")[0] for name in tree.images if "/" in name}
    leveled = bool(tops) and all(subset_name(top) in ("train", "val", "test") and top for top in tops)
    placed, unplaced = _place(tree, leveled)
    classes = sorted({label for _, _, label in placed} | _empty_classes(tree, leveled))
    task = Task.ANOMALY if _is_anomaly(placed, request) else Task.CLASSIFICATION
    notes: list[str] = []
    normal = normal_labels(classes, request, notes, "class folder") if task is Task.ANOMALY else set()
    names = sorted(classes, key=lambda name: (name not in normal, name))
    number = {name: index for index, name in enumerate(names)}
    records = [
        Record(
            tree.absolute(path),
            subset,
            labels=[number[label]],
            anomalous=label not in normal if task is Task.ANOMALY else None,
        )
        for path, subset, label in placed
    ]
    parsed = Parsed(records, names, task, "image_folder", notes)
    parsed.skipped = [(tree.absolute(path), "lies outside the class folders") for path in unplaced]
    _note_empty(parsed, classes, placed, request)
    return parsed


def _place(tree: Tree, leveled: bool) -> tuple[list[tuple[str, str, str]], list[str]]:
    """``(path, subset, class)`` of each image, and the images that are in no class folder."""
    placed, unplaced = [], []
    depth = 2 if leveled else 1
    for path in tree.images:
        parts = path.split("/")
        if len(parts) <= depth:
            unplaced.append(path)
        else:
            name = unicodedata.normalize("NFC", parts[depth - 1])
            placed.append((path, subset_name(parts[0]) if leveled else "train", name))
    return placed, unplaced


def _empty_classes(tree: Tree, leveled: bool) -> set[str]:
    """The names of the class folders, those without images included."""
    if not leveled:
        return {unicodedata.normalize("NFC", name) for name in tree.folders if "/" not in name}
    parts = [unicodedata.normalize("NFC", name).split("/") for name in tree.folders]
    return {part[1] for part in parts if len(part) == 2 and part[0].lower() in SUBSET_SPELLINGS}


def _is_anomaly(placed: list[tuple[str, str, str]], request: ReadRequest) -> bool:
    """Whether it was asked for, or, if nothing was asked, the training images are all of a normal class."""
    if request.task is not None or request.normal:
        return request.task in (None, Task.ANOMALY)
    training = {label for _, subset, label in placed if subset == "train"}
    return len(training) == 1 and is_normal_name(training.pop())


def _note_empty(parsed: Parsed, classes: list[str], placed: list[tuple[str, str, str]], request: ReadRequest) -> None:
    counts = Counter(label for _, _, label in placed)
    empty = [name for name in classes if not counts[name]]
    if not empty:
        return
    text = f"{len(empty)} classes have no images: {', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}."
    if request.strict:
        raise DataError(f"strict=True: {text} Remove the empty folders or fill them.")
    parsed.notes.append(text)
