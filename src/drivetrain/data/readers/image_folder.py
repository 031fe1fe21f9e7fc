"""One folder for each class, as ImageNet has it, with or without a level of subsets above.

The last of the readers that find classes: any folders with images could be classes, so it leaves out or refuses what
names and contents say is something else.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from drivetrain.data.anomaly import is_normal_name, normal_labels
from drivetrain.data.class_levels import Levels, class_levels
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task


def detect(tree: Tree) -> bool:
    """Whether there are folders of images that may be classes, or something that must not be taken for classes."""
    if not any("/" in name for name in tree.images):
        return False
    try:
        levels = class_levels(tree)
    except DataFormatError:  # raised again, and then told, by the reader
        return True
    return bool(levels.subsets or levels.classes or levels.masks)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of all class folders; deeper folders belong to the class above them.

    A class has one name in Unicode's composed form (NFC), in whichever form its folders are written.

    Raises:
        DataFormatError: the folders are no classes.
        DataError: a class has no images and ``strict`` was asked, or a task that class folders cannot have.
    """
    levels = class_levels(tree)
    placed, unplaced = _place(tree, levels)
    if not placed:
        raise DataFormatError(_no_classes(tree, levels))
    classes = sorted({label for _, _, label in placed} | _empty_classes(tree, levels))
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
    parsed.left_out = dict(levels.left_out)
    for name in levels.beside:
        parsed.left_out.setdefault(name.rpartition("/")[0], "masks beside their images")
    parsed.skipped = [(tree.absolute(path), "lies outside the class folders") for path in unplaced]
    _note_empty(parsed, classes, placed, request)
    return parsed


def _no_classes(tree: Tree, levels: Levels) -> str:
    shown = "; ".join(f"{folder!r} is {reason}" for folder, reason in levels.left_out.items())
    return f"{tree.root} has no class folders{f': {shown}' if shown else ''}. Put the images into one for each class."


def _place(tree: Tree, levels: Levels) -> tuple[list[tuple[str, str, str]], list[str]]:
    """``(path, subset, class)`` of each image, and the images that are in no class folder."""
    placed, unplaced = [], [name for name in tree.images if "/" not in name and name not in levels.beside]
    depth = 2 if levels.subsets else 1
    classes = set(levels.classes)
    for path, parts in levels.parts.items():
        if parts[0] not in (levels.subsets or classes):
            continue
        if len(parts) <= depth:
            unplaced.append(path)
        else:
            name = unicodedata.normalize("NFC", parts[depth - 1])
            placed.append((path, levels.subsets.get(parts[0], "train"), name))
    return placed, unplaced


def _empty_classes(tree: Tree, levels: Levels) -> set[str]:
    """The names of the class folders that hold nothing."""
    filled = {name.rpartition("/")[0] for name in tree.files}
    parents = {folder[:end] for folder in filled for end in _ends(folder)}
    inner = [name.removeprefix(levels.prefix) for name in tree.folders if name.startswith(levels.prefix)]
    empty = [unicodedata.normalize("NFC", name).split("/") for name in inner if f"{levels.prefix}{name}" not in parents]
    if not levels.subsets:
        return {parts[0] for parts in empty if len(parts) == 1}
    return {parts[1] for parts in empty if len(parts) == 2 and parts[0] in levels.subsets}


def _ends(folder: str) -> list[int]:
    return [*(index for index, letter in enumerate(folder) if letter == "/"), len(folder)]


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
