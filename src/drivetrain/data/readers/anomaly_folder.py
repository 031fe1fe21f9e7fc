"""Folders of good images and of defects with masks, not split into subsets, such as VisA, Real-IAD and KolektorSDD2."""

from __future__ import annotations

import numpy as np

from drivetrain.data.anomaly import is_normal_name
from drivetrain.data.defects import PlacedImage, defect_records
from drivetrain.data.folder_names import is_subset, look_like_maps, mask_folders, subset_in
from drivetrain.data.mask_pairs import MaskPairs, pairs_by_suffix
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers import real_iad
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.images.file import NoImage, open_image
from drivetrain.types import Task

_TRUTH = "_GT"


def detect(tree: Tree) -> bool:
    """Whether there are a folder of normal images and masks, or a ``_GT`` mask for every image."""
    if _is_kolektor(tree):
        return True
    if real_iad.detect(tree):  # which has its own lists
        return False
    masks = mask_folders(tree)
    return bool(_parents(tree, masks, ())) and bool(masks or pairs_by_suffix(tree, tree.images).masks)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images; the labels are the folder of the normal images and the kinds of defects next to it.

    Raises:
        DataFormatError: there is no folder of normal images, or there are several data sets.
    """
    if _is_kolektor(tree):
        return _read_kolektor(tree)
    masks = mask_folders(tree)
    parents = _parents(tree, masks, request.normal)
    if not _is_one_place(parents):
        raise DataFormatError(_not_one(tree, parents))
    without = tuple(f"{folder}/" for folder in masks)
    images = [name for name in tree.images if not name.startswith(without)]
    beside = pairs_by_suffix(tree, images)
    marks = {mask for found in beside.masks.values() for mask in found}
    placed = []
    for parent in parents:
        prefix = f"{parent}/" if parent else ""
        for name in images:
            kind, _, rest = name.removeprefix(prefix).partition("/")
            if name.startswith(prefix) and rest and name not in marks:
                placed.append(PlacedImage(name, subset_in(name.rpartition("/")[0]), kind))
    return defect_records(tree, placed, masks, request, "anomaly_folder", beside=beside)


def _parents(tree: Tree, masks: list[str], normal: tuple[str, ...]) -> list[str]:
    """The folders that contain a folder of normal images and others."""
    without = tuple(f"{folder}/" for folder in masks)
    found: dict[str, None] = {}
    for folder in tree.image_folders:
        parts = [] if f"{folder}/".startswith(without) else folder.split("/")
        for depth, part in enumerate(parts):
            if part.lower() in normal if normal else is_normal_name(part):
                found["/".join(parts[:depth])] = None
                break
    return list(found)


def _is_one_place(parents: list[str]) -> bool:
    """Whether the parents are one folder, or the subsets of one."""
    outer = {parent.rpartition("/")[0] for parent in parents}
    return len(parents) == 1 or (len(outer) == 1 and all(is_subset(parent.rpartition("/")[2]) for parent in parents))


def _not_one(tree: Tree, parents: list[str]) -> str:
    if not parents:
        return f"{tree.root} is not in the format 'anomaly_folder': it has no folder of normal images and no masks."
    shown = ", ".join(parents[:8]) + (", ..." if len(parents) > 8 else "")
    return (
        f"{tree.root} has folders of normal images in {len(parents)} places: {shown}. A model learns only one: give "
        f"its folder, such as {tree.root / parents[0]}."
    )


def _is_kolektor(tree: Tree) -> bool:
    """Whether half of the images are the ``_GT`` of the others, as in KolektorSDD2."""
    marks = [name for name in tree.images if name.endswith(f"{_TRUTH}.png")]
    if not marks or 2 * len(marks) != len(tree.images) or len(_kolektor_pairs(tree).masks) != len(marks):
        return False
    return not any(name.endswith(f"{_TRUTH}.txt") for name in tree.files) and look_like_maps(tree, marks)


def _kolektor_pairs(tree: Tree) -> MaskPairs:
    by_stem = {name.rpartition(".")[0]: name for name in tree.images}
    pairs = MaskPairs()
    for stem, name in by_stem.items():
        if stem.endswith(_TRUTH):
            pairs.add(by_stem.get(stem.removesuffix(_TRUTH)), name)
    return pairs


def _read_kolektor(tree: Tree) -> Parsed:
    """Mark an image as defective if its mask has a white pixel."""
    parsed = Parsed([], ["good", "defect"], Task.ANOMALY, "anomaly_folder")
    for image, masks in _kolektor_pairs(tree).masks.items():
        path = tree.absolute(masks[0])
        try:
            with open_image(path) as mask:
                anomalous = bool(np.asarray(mask).any())
        except NoImage as error:
            parsed.skipped.append((tree.absolute(image), f"has the mask {path}, which cannot be read: {error}"))
            continue
        parsed.used.add(path)
        parsed.records.append(
            Record(
                tree.absolute(image),
                subset_in(image.rpartition("/")[0]),
                labels=[int(anomalous)],
                anomalous=anomalous,
                mask_path=path if anomalous else None,
            )
        )
    return parsed
