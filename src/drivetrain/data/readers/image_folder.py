"""One folder for each class, as ImageNet has it, with or without a level of subsets above.

The last of the readers that find classes: any folders with images could be classes, so it leaves out or refuses what
names and contents say is something else.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from drivetrain.data.anomaly import is_normal_name, normal_labels
from drivetrain.data.folder_names import (
    is_image_name,
    is_run,
    is_subset,
    look_like_maps,
    mask_folders,
)
from drivetrain.data.headers import Header, read_headers
from drivetrain.data.mask_pairs import pairs_by_suffix
from drivetrain.data.read_record import SUBSET_SPELLINGS, Parsed, ReadRequest, Record, subset_name
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task

# subsets by these names are left out where they stand beside classes; "train" may be the class of trains
_NO_CLASSES = frozenset({"val", "valid", "validation", "test", "testing"})
_FEWEST_PAIRS = 3


def detect(tree: Tree) -> bool:
    """Whether there are folders of images that may be classes, or something that must not be taken for classes."""
    if not any("/" in name for name in tree.images):
        return False
    try:
        levels = _levels(tree)
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
    levels = _levels(tree)
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


@dataclass(slots=True)
class _Levels:
    """What the top folders are.

    Attributes:
        subsets: folders of subsets, with the classes in them; empty if the classes are at the top.
        classes: folders of classes at the top.
        masks: folders of masks, wherever they are.
        beside: masks in the folders of their images.
        left_out: folder -> why it is none of the former, or is not read.
    """

    subsets: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Top:
    """A top folder: whether images are directly in it, and the folders in it that hold some."""

    has_images: bool = False
    folders: set[str] = field(default_factory=set)


def _levels(tree: Tree) -> _Levels:
    """Sort the top folders that hold images.

    Raises:
        DataFormatError: they are data sets, or images and their maps.
    """
    levels = _Levels(masks=mask_folders(tree))
    levels.beside = {mask for found in pairs_by_suffix(tree, tree.images).masks.values() for mask in found}
    levels.left_out.update(dict.fromkeys(levels.masks, "masks"))
    tops = _tops(tree, levels.masks)
    for name in [name for name in tops if is_run(tree, name)]:
        levels.left_out[name] = "what a training wrote"
        del tops[name]
    if any(top.folders for name, top in tops.items() if is_subset(name)):
        _sort_beside_subsets(levels, tops)
        return levels
    _refuse_data_sets(tree, tops)
    subsets = [name for name in tops if is_subset(name)]
    for name in subsets:
        if name.lower() in _NO_CLASSES or len(subsets) == len(tops):
            levels.left_out[name] = "named as a subset, without class folders"
    if len(tops) == 1 and is_image_name(name := next(iter(tops))):
        levels.left_out[name] = "named for holding images, not for a class"
    levels.classes = [name for name in tops if name not in levels.left_out]
    _refuse_maps(tree, levels)
    return levels


def _tops(tree: Tree, masks: list[str]) -> dict[str, _Top]:
    """The top folders with images that are no masks."""
    tops: dict[str, _Top] = {}
    without = tuple(f"{folder}/" for folder in masks)
    for name in tree.images:
        parts = name.split("/", 2)
        if len(parts) == 1 or name.startswith(without):
            continue
        top = tops.setdefault(parts[0], _Top())
        if len(parts) == 2:
            top.has_images = True
        else:
            top.folders.add(unicodedata.normalize("NFC", parts[1]))
    return tops


def _sort_beside_subsets(levels: _Levels, tops: dict[str, _Top]) -> None:
    """Subsets are at the top: what else is there is a subset if it has the same classes, and else left out."""
    known = {folder for name, top in tops.items() if is_subset(name) for folder in top.folders}
    for name, top in tops.items():
        if is_subset(name) or (top.folders and top.folders <= known and not top.has_images):
            levels.subsets.append(name)
        else:
            levels.left_out[name] = "neither a subset nor a class"


def _refuse_data_sets(tree: Tree, tops: dict[str, _Top]) -> None:
    """Refuse folders that are divided into subsets themselves."""
    divided = [name for name, top in tops.items() if sum(is_subset(folder) for folder in top.folders) > 1]
    if divided:
        count = "a data set" if len(divided) == 1 else f"{len(divided)} data sets"
        raise DataFormatError(
            f"{tree.root} holds {count} in {', '.join(divided)}: each is divided into subsets of its own. "
            f"Give one of them, such as {tree.root / divided[0]}."
        )


def _refuse_maps(tree: Tree, levels: _Levels) -> None:
    """Refuse two folders of which one holds maps of the images in the other, whatever they are called."""
    if len(levels.classes) != 2:
        return
    first, second = ([name for name in tree.images if name.startswith(f"{top}/")] for top in levels.classes)
    if len(first) != len(second) or len(first) < _FEWEST_PAIRS or _stems(first) != _stems(second):
        return
    maps = [look_like_maps(tree, names) for names in (first, second)]
    if maps[0] == maps[1]:
        return
    sizes = [
        [header.size for header in read_headers([tree.absolute(name) for name in names]) if isinstance(header, Header)]
        for names in (first, second)
    ]
    named = any(is_image_name(top) for top in levels.classes)
    if sizes[0] == sizes[1] and (named or len(set(sizes[0])) > 1):
        images, masks = levels.classes if maps[1] else levels.classes[::-1]
        raise DataFormatError(
            f"{tree.root}: the folder {masks!r} holds a map of each image in {images!r}, so they are no classes. For "
            "semantic segmentation name the folders 'images' and 'masks'."
        )


def _stems(names: list[str]) -> list[str]:
    return [name.partition("/")[2].rpartition(".")[0] for name in names]


def _no_classes(tree: Tree, levels: _Levels) -> str:
    shown = "; ".join(f"{folder!r} is {reason}" for folder, reason in levels.left_out.items())
    return f"{tree.root} has no class folders{f': {shown}' if shown else ''}. Put the images into one for each class."


def _place(tree: Tree, levels: _Levels) -> tuple[list[tuple[str, str, str]], list[str]]:
    """``(path, subset, class)`` of each image, and the images that are in no class folder."""
    placed, unplaced = [], []
    depth = 2 if levels.subsets else 1
    kept = {*levels.subsets, *levels.classes}
    masks = tuple(f"{folder}/" for folder in levels.left_out)
    for path in tree.images:
        parts = path.split("/")
        if (len(parts) > 1 and parts[0] not in kept) or path.startswith(masks) or path in levels.beside:
            continue
        if len(parts) <= depth:
            unplaced.append(path)
        else:
            name = unicodedata.normalize("NFC", parts[depth - 1])
            placed.append((path, subset_name(parts[0]) if levels.subsets else "train", name))
    return placed, unplaced


def _empty_classes(tree: Tree, levels: _Levels) -> set[str]:
    """The names of the class folders that hold nothing."""
    filled = {name.rpartition("/")[0] for name in tree.files}
    parents = {folder[:end] for folder in filled for end in _ends(folder)}
    empty = [unicodedata.normalize("NFC", name).split("/") for name in tree.folders if name not in parents]
    if not levels.subsets:
        return {parts[0] for parts in empty if len(parts) == 1}
    return {parts[1] for parts in empty if len(parts) == 2 and parts[0].lower() in SUBSET_SPELLINGS}


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
