"""One folder per class, as in ImageNet, with or without a level of subsets above.

The last of the readers that find classes: any folders with images could be classes, so it skips or rejects those
whose names and contents indicate something else.
"""

from __future__ import annotations

import unicodedata

from drivetrain.data.anomaly import is_normal_name
from drivetrain.data.class_levels import Levels, class_levels
from drivetrain.data.defects import PlacedImage, defect_records
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task


def detect(tree: Tree) -> bool:
    """Whether there are folders of images that may be classes, or something that must not be mistaken for classes."""
    if not any("/" in name for name in tree.images):
        return False
    try:
        levels = class_levels(tree)
    except DataFormatError:  # raised again, and then reported, by the reader
        return True
    return bool(levels.subsets or levels.classes or levels.masks)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of all class folders; deeper folders belong to the class above them.

    A class has a single name in Unicode's composed form (NFC), however its folders are written.

    Raises:
        DataFormatError: the folders are not classes.
        DataError: a class has no images and ``strict`` is set, or class folders cannot have the requested task.
    """
    levels = class_levels(tree)
    placed, unplaced = _place(tree, levels)
    if not placed:
        raise DataFormatError(_no_classes(tree, levels))
    empty = _empty_classes(tree, levels) - {item.kind for item in placed}
    if _is_anomaly(placed, request):
        parsed = defect_records(tree, placed, levels.masks, request, "image_folder", beside=levels.beside, empty=empty)
    else:
        parsed = _classified(tree, placed, empty)
        parsed.left_out = dict.fromkeys(levels.masks, "masks")
    parsed.left_out.update(levels.left_out)
    for name in levels.marks:
        parsed.left_out.setdefault(name.rpartition("/")[0], "masks next to their images")
    parsed.skipped = [(tree.absolute(path), "lies outside the class folders") for path in unplaced]
    _note_empty(parsed, sorted(empty), request)
    return parsed


def _classified(tree: Tree, placed: list[PlacedImage], empty: set[str]) -> Parsed:
    names = sorted({*(item.kind for item in placed), *empty})
    number = {name: index for index, name in enumerate(names)}
    records = [Record(tree.absolute(item.image), item.subset, labels=[number[item.kind]]) for item in placed]
    return Parsed(records, names, Task.CLASSIFICATION, "image_folder")


def _no_classes(tree: Tree, levels: Levels) -> str:
    reasons = {**dict.fromkeys(levels.masks, "masks"), **levels.left_out}
    shown = "; ".join(f"{folder!r} is {reason}" for folder, reason in reasons.items())
    return f"{tree.root} has no class folders{f': {shown}' if shown else ''}. Put the images into one folder per class."


def _place(tree: Tree, levels: Levels) -> tuple[list[PlacedImage], list[str]]:
    """The located images, and those that are in no class folder."""
    marks = levels.marks
    placed, unplaced = [], [name for name in tree.images if "/" not in name and name not in marks]
    depth = 2 if levels.subsets else 1
    classes = set(levels.classes)
    for path, parts in levels.parts.items():
        if parts[0] not in (levels.subsets or classes):
            continue
        if len(parts) <= depth:
            unplaced.append(path)
        else:
            name = unicodedata.normalize("NFC", parts[depth - 1])
            placed.append(PlacedImage(path, levels.subsets.get(parts[0], "train"), name))
    return placed, unplaced


def _empty_classes(tree: Tree, levels: Levels) -> set[str]:
    """The names of the empty class folders."""
    filled = {name.rpartition("/")[0] for name in tree.files}
    parents = {folder[:end] for folder in filled for end in _ends(folder)}
    inner = [name.removeprefix(levels.prefix) for name in tree.folders if name.startswith(levels.prefix)]
    empty = [unicodedata.normalize("NFC", name).split("/") for name in inner if f"{levels.prefix}{name}" not in parents]
    if not levels.subsets:
        return {parts[0] for parts in empty if len(parts) == 1}
    return {parts[1] for parts in empty if len(parts) == 2 and parts[0] in levels.subsets}


def _ends(folder: str) -> list[int]:
    return [*(index for index, letter in enumerate(folder) if letter == "/"), len(folder)]


def _is_anomaly(placed: list[PlacedImage], request: ReadRequest) -> bool:
    """Whether it was requested, or else whether the training images all belong to a normal class."""
    if request.task is not None or request.normal:
        return request.task in (None, Task.ANOMALY)
    training = {item.kind for item in placed if item.subset == "train"}
    return len(training) == 1 and is_normal_name(training.pop())


def _note_empty(parsed: Parsed, empty: list[str], request: ReadRequest) -> None:
    if not empty:
        return
    text = f"{len(empty)} classes have no images: {', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}."
    if request.strict:
        raise DataError(f"strict=True: {text} Remove the empty folders or fill them.")
    parsed.notes.append(text)
