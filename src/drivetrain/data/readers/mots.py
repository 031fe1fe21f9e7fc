"""MOTS: 16-bit maps with the pixels ``1000 * class + instance``, in ``instances`` next to the frames.

The classes are those in ``labels.txt`` next to the maps, from 1 on; without it, those of KITTI MOTS and MOTSChallenge:
1 car, 2 pedestrian, 10 regions to ignore.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from drivetrain.data.folder_names import is_mask_name, subset_in
from drivetrain.data.instance_masks import add_instances, read_pixels
from drivetrain.data.mask_pairs import pairs_by_folder
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task

_FOLDER = "instances"
_LABELS = "labels.txt"
_CLASSES = ("car", "pedestrian")
_IGNORED = 10
_STEP = 1000


def detect(tree: Tree) -> bool:
    """Whether the only maps are in folders called ``instances``, with numbers as in MOTS."""
    folders = _folders(tree)
    if not folders or any(is_mask_name(folder.rpartition("/")[2]) for folder in tree.folders):
        return False
    maps = next((_maps(tree, folder) for folder in folders), [])
    try:
        return bool(maps) and _are_mots(tree, maps[len(maps) // 2], folders)
    except DataError:
        return False


def _are_mots(tree: Tree, name: str, folders: list[str]) -> bool:
    pixels = read_pixels(tree.absolute(name))
    if pixels.ndim != 2 or pixels.dtype == np.uint8:
        return False
    classes = {int(value) for value in np.unique(pixels // _STEP)}
    return any(f"{folder}/{_LABELS}" in tree.files for folder in folders) or classes <= {0, 1, 2, _IGNORED}


def read(tree: Tree, _: ReadRequest) -> Parsed:
    """The frames, with a mask for each instance; tracks and regions to ignore are left out.

    Raises:
        DataFormatError: there are no maps in folders called ``instances``.
    """
    folders = _folders(tree)
    if not folders:
        raise DataFormatError(f"{tree.root} is not in the format 'mots': it has no folder {_FOLDER!r} of maps.")
    names = _names(tree, folders)
    parsed = Parsed([], names, Task.INSTANCE_SEGMENTATION, "mots")
    ignored = 0
    for image, mask in _pairs(tree, folders):
        path = tree.absolute(mask)
        parsed.used.add(path)
        record = Record(tree.absolute(image), subset_in(image.rpartition("/")[0]), boxes=[], box_labels=[])
        try:
            ignored += _add(record, path, names)
        except DataError as error:
            parsed.skipped.append((record.path, str(error)))
            continue
        parsed.records.append(record)
    if ignored:
        parsed.notes.append(f"{ignored} regions to ignore (class {_IGNORED}) were left out.")
    parsed.left_out = dict.fromkeys(folders, "maps of no frame")
    return parsed


def _add(record: Record, path: str, names: list[str]) -> int:
    """Add the instances of a map, and names for unnamed classes; returns how many regions were left out."""
    pixels = read_pixels(path)
    if pixels.ndim != 2:
        raise DataError(f"the map {path!r} has channels, but a map of instances has one number for each pixel.")
    found, ignored = [], 0
    for value in np.unique(pixels).tolist():
        number = int(value) // _STEP
        if number == _IGNORED and len(names) < _IGNORED:
            ignored += 1
        elif number:
            names += [f"class_{extra}" for extra in range(len(names) + 1, number + 1)]
            found.append((int(value), number - 1))
    add_instances(record, pixels, found)
    return ignored


def _names(tree: Tree, folders: list[str]) -> list[str]:
    for folder in folders:
        if f"{folder}/{_LABELS}" in tree.files:
            lines = read_text(tree.root / folder / _LABELS).splitlines()
            if names := [line.strip() for line in lines if line.strip()]:
                return names
    return list(_CLASSES)


def _folders(tree: Tree) -> list[str]:
    return [folder for folder in tree.folders if folder.rpartition("/")[2] == _FOLDER and _maps(tree, folder)]


def _maps(tree: Tree, folder: str) -> list[str]:
    return [name for name in tree.with_suffix(".png") if name.startswith(f"{folder}/")]


def _pairs(tree: Tree, folders: list[str]) -> Iterator[tuple[str, str]]:
    within = tuple(f"{folder}/" for folder in folders)
    images = [name for name in tree.images if not name.startswith(within)]
    for folder in folders:
        for image, masks in pairs_by_folder(images, _maps(tree, folder), folder).masks.items():
            yield image, masks[0]
