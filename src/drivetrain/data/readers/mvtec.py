"""MVTec AD and similar data sets: only normal images in ``train``, defects in ``test``, masks in ``ground_truth``.

MVTec LOCO (``validation``, a mask folder per image), BTAD (``ok``, ``ko``) and sets with ``val`` are read, too.
"""

from __future__ import annotations

from drivetrain.data.anomaly import NORMAL_NAMES, is_normal_name
from drivetrain.data.defects import PlacedImage, defect_records
from drivetrain.data.folder_names import is_subset, mask_folders
from drivetrain.data.read_record import Parsed, ReadRequest, subset_name
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError


def detect(tree: Tree) -> bool:
    """Whether the folder, or subfolders, have only normal images in ``train``, and ``test`` or ``val``."""
    return any(_is_category(tree, prefix, ()) for prefix in _prefixes(tree))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of one category; the labels are the folder of the normal images and the kinds of defects.

    Raises:
        DataFormatError: the folder contains several categories, or none.
    """
    prefix = _category(tree, request)
    masks = [folder for folder in mask_folders(tree) if folder.startswith(prefix)]
    without = tuple(f"{folder}/" for folder in masks)
    placed = []
    left_out = {}
    for image in tree.images:
        parts = image.removeprefix(prefix).split("/")
        if not image.startswith(prefix) or image.startswith(without):
            continue
        subset = _subset(parts[0])
        if len(parts) >= 3 and subset:
            placed.append(PlacedImage(image, subset, parts[1]))
        elif len(parts) > 1:
            reason = "not in the folder of a kind" if subset else "not a subset"
            left_out[f"{prefix}{parts[0]}"] = reason
    parsed = defect_records(tree, placed, masks, request, "mvtec")
    parsed.left_out.update(left_out)
    return parsed


def _prefixes(tree: Tree) -> list[str]:
    return ["", *(f"{name}/" for name in tree.top_folders())]


def _subset(folder: str) -> str:
    """The subset of a folder, or ``""``; ``test_public`` is that of MVTec AD 2."""
    if folder == "test_public":
        return "test"
    return subset_name(folder) if is_subset(folder) else ""


def _is_category(tree: Tree, prefix: str, normal: tuple[str, ...]) -> bool:
    """Whether the only folder of training images is that of normal ones, or names say so and there are masks."""
    kinds: dict[str, set[str]] = {}
    for folder in tree.image_folders:
        parts = folder.removeprefix(prefix).split("/")
        if folder.startswith(prefix) and len(parts) > 1 and (subset := _subset(parts[0])):
            kinds.setdefault(subset, set()).add(parts[1])
    training = kinds.pop("train", set())
    fitting = {kind for kind in training if kind.lower() in normal or is_normal_name(kind)}
    return bool(kinds) and bool(fitting) and len(training) == 1


def _category(tree: Tree, request: ReadRequest) -> str:
    if _is_category(tree, "", request.normal):
        return ""
    found = [name for name in tree.top_folders() if _is_category(tree, f"{name}/", request.normal)]
    if len(found) == 1:
        return f"{found[0]}/"
    if found:
        raise DataFormatError(
            f"{tree.root} contains {len(found)} MVTec categories: {', '.join(found)}. A model learns one of them: "
            f"give its folder, such as {tree.root / found[0]}."
        )
    normal = ", ".join(f"train/{name}" for name in request.normal or NORMAL_NAMES)
    raise DataFormatError(
        f"{tree.root} is not in the MVTec format: it has no folder of normal images ({normal}) as the only one in "
        "train, with test or val next to it."
    )
