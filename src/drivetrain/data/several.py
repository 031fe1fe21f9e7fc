"""Folders that contain several data sets, one of which has to be chosen."""

from __future__ import annotations

from drivetrain.data.folder_names import is_image_name, is_mask_name, is_subset
from drivetrain.data.read_record import subset_name
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError

_SHOWN = 8
# files and folders found at the top of a data set
_MARKS = frozenset({"data.yaml", "data.yml", "dataset.yaml", "_annotations.coco.json"})
_VOC = frozenset({"Annotations", "JPEGImages"})


def refuse_several(tree: Tree) -> None:
    """Reject a folder with more than one data set, so that they are not read as one.

    A data set is a folder with YOLO's ``data.yaml``, a COCO file, the folders of VOC, or ``train`` next to ``val`` or
    ``test`` with images in both. A folder that is itself a data set may contain others.

    Raises:
        DataFormatError: names them.
    """
    marked = _marked_folders(tree)
    if "" in marked:
        return
    found = sorted({folder for folder in marked if not any(folder.startswith(f"{other}/") for other in marked)})
    parents = {folder.rpartition("/")[0] for folder in found}
    if len(found) < 2 or any(is_subset(part) for folder in found for part in folder.split("/")) or len(parents) > 1:
        return
    shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    raise DataFormatError(
        f"{tree.root} contains {len(found)} data sets: {shown}. Give one of them, such as {tree.root / found[0]}."
    )


def _marked_folders(tree: Tree) -> set[str]:
    """The folders with the marks of a data set; ``""`` is the root."""
    marked = set()
    subfolders: dict[str, set[str]] = {}
    for folder in tree.folders:
        outer, _, name = folder.rpartition("/")
        subfolders.setdefault(outer, set()).add(name)
    for folder, names in tree.by_folder.items():
        if _MARKS & set(names):
            marked.add(folder)
        if folder.rpartition("/")[2] == "annotations" and any(name.endswith(".json") for name in names):
            marked.add(folder.rpartition("/")[0])
    filled = {"/".join(parts[:end]) for parts in map(_parts, tree.image_folders) for end in range(1, len(parts) + 1)}
    for folder, inner in subfolders.items():
        name = folder.rpartition("/")[2]
        held = [part for part in inner if is_subset(part) and f"{folder}/{part}".lstrip("/") in filled]
        divided = len(held) > 1 and "train" in map(subset_name, held)
        if inner >= _VOC or (divided and not is_image_name(name) and not is_mask_name(name)):
            marked.add(folder)
    return marked


def _parts(folder: str) -> list[str]:
    return folder.split("/") if folder else []
