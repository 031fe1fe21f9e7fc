"""Telling which folders are classes, which are subsets of them, and which are neither."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drivetrain.data.folder_names import (
    is_image_name,
    is_map_name,
    is_run,
    is_subset,
    look_like_maps,
    mask_folders,
    named_subsets,
)
from drivetrain.data.headers import Header, read_headers
from drivetrain.data.mask_pairs import MaskPairs, pairs_by_suffix
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError

# subsets with these names are skipped if they stand next to classes; "train" may be the class of trains
_NO_CLASSES = frozenset({"val", "valid", "validation", "test", "testing"})
# folders between a subset, or the whole data set, and its classes
_CONTAINERS = frozenset({"data", "image", "images", "img", "imgs", "photos", "pictures"})
_FEWEST_PAIRS = 3


@dataclass(slots=True)
class Levels:
    """The roles of the folders with images.

    Attributes:
        prefix: the folders around all others, ending with ``/``.
        parts: image -> its folders and its name below ``prefix``, without folders between subset and class.
        subsets: folder of a subset -> its canonical name; empty if the classes are at the top.
        classes: folders of classes, if there are no subsets.
        masks: folders of masks, wherever they are.
        beside: images with masks in the same folder.
        left_out: folder below the root -> why it is none of the above, or is not read.
    """

    prefix: str = ""
    parts: dict[str, list[str]] = field(default_factory=dict)
    subsets: dict[str, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    beside: MaskPairs = field(default_factory=MaskPairs)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def marks(self) -> set[str]:
        """The masks in the folders of their images."""
        return {mask for found in self.beside.masks.values() for mask in found}

    def leave_out(self, names: Iterable[str], reason: str) -> None:
        """Record why top-level folders are neither subsets nor classes."""
        self.left_out.update({f"{self.prefix}{name}": reason for name in names})


@dataclass(slots=True)
class _Top:
    """A top-level folder: whether it directly contains images, and its subfolders that contain some."""

    has_images: bool = False
    folders: set[str] = field(default_factory=set)


def class_levels(tree: Tree) -> Levels:
    """Classify the folders that contain images.

    Raises:
        DataFormatError: they are data sets, or images and their maps.
    """
    levels = Levels(masks=mask_folders(tree))
    levels.beside = pairs_by_suffix(tree, tree.images)
    marks = levels.marks
    without = tuple(f"{folder}/" for folder in levels.masks)
    images = [name for name in tree.images if not name.startswith(without) and name not in marks]
    _unwrap(levels, images)
    tops = _tops(levels)
    runs = [name for name in tops if is_run(tree, f"{levels.prefix}{name}")]
    levels.leave_out(runs, "the output of a training")
    for name in runs:
        del tops[name]
    subsets = named_subsets(tops)
    if any(tops[name].folders for name in subsets):
        _sort_beside_subsets(levels, tops, subsets)
    else:
        _refuse_data_sets(tree, levels, tops)
        _sort_classes(levels, tops, subsets)
        _refuse_maps(tree, levels)
    return levels


def _unwrap(levels: Levels, images: list[str]) -> None:
    """Find the folders of each image, without folders that merely wrap classes or subsets."""
    parts = {name: name.split("/") for name in images if "/" in name}
    while _is_container({part[0] for part in parts.values()}) and all(len(part) > 2 for part in parts.values()):
        levels.prefix += f"{next(iter(parts.values()))[0]}/"
        parts = {name: part[1:] for name, part in parts.items()}
    for top in named_subsets({part[0] for part in parts.values()}):
        within = {name: part for name, part in parts.items() if part[0] == top}
        second = {part[1] for part in within.values()}
        if _is_container(second) and all(len(part) > 3 for part in within.values()):
            parts.update({name: [part[0], *part[2:]] for name, part in within.items()})
    levels.parts = parts


def _is_container(names: set[str]) -> bool:
    return len(names) == 1 and next(iter(names)).lower() in _CONTAINERS


def _tops(levels: Levels) -> dict[str, _Top]:
    tops: dict[str, _Top] = {}
    for parts in levels.parts.values():
        top = tops.setdefault(parts[0], _Top())
        if len(parts) == 2:
            top.has_images = True
        else:
            top.folders.add(unicodedata.normalize("NFC", parts[1]))
    return tops


def _sort_beside_subsets(levels: Levels, tops: Mapping[str, _Top], subsets: Mapping[str, str]) -> None:
    """Handle subsets at the top: other folders are subsets if they have the same classes, else they are skipped."""
    known = {folder for name in subsets for folder in tops[name].folders}
    if _are_no_classes(known):
        levels.leave_out(subsets, f"with folders not named for classes ({', '.join(sorted(known)[:4])})")
    for name, top in tops.items():
        if f"{levels.prefix}{name}" in levels.left_out:
            continue
        if name in subsets or (top.folders and top.folders <= known and not top.has_images):
            levels.subsets[name] = subsets.get(name, name)
        else:
            levels.leave_out([name], "neither a subset nor a class")


def _sort_classes(levels: Levels, tops: Mapping[str, _Top], subsets: Mapping[str, str]) -> None:
    for name in subsets:
        if name.lower() in _NO_CLASSES or len(subsets) == len(tops) or not is_subset(name):
            levels.leave_out([name], "named as a subset, without class folders")
    rest = [name for name in tops if f"{levels.prefix}{name}" not in levels.left_out]
    if _are_no_classes(rest):
        levels.leave_out(rest, "named for holding images, not for a class")
    else:
        levels.classes = rest


def _are_no_classes(names: Iterable[str]) -> bool:
    """Whether all names say that the folders contain images, or maps next to images."""
    held = list(names)
    return any(map(is_image_name, held)) and all(is_image_name(name) or is_map_name(name) for name in held)


def _refuse_data_sets(tree: Tree, levels: Levels, tops: Mapping[str, _Top]) -> None:
    """Reject folders that are themselves divided into subsets."""
    divided = [name for name, top in tops.items() if sum(is_subset(folder) for folder in top.folders) > 1]
    if divided:
        count = "a data set" if len(divided) == 1 else f"{len(divided)} data sets"
        raise DataFormatError(
            f"{tree.root} contains {count} in {', '.join(divided)}: each has its own subsets. "
            f"Give one of them, such as {tree.root / levels.prefix / divided[0]}."
        )


def _refuse_maps(tree: Tree, levels: Levels) -> None:
    """Reject two folders if one contains maps of the images in the other, whatever their names."""
    if len(levels.classes) != 2:
        return
    first, second = ([name for name, parts in levels.parts.items() if parts[0] == top] for top in levels.classes)
    if len(first) != len(second) or len(first) < _FEWEST_PAIRS or _stems(levels, first) != _stems(levels, second):
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
            f"{tree.root}: the folder {masks!r} contains a map of each image in {images!r}, so they are not classes. "
            "For semantic segmentation name the folders 'images' and 'masks'."
        )


def _stems(levels: Levels, names: list[str]) -> list[str]:
    return ["/".join(levels.parts[name][1:]).rpartition(".")[0] for name in names]
