"""Images without any class or annotation, to predict on, to describe, or to learn what is normal."""

from __future__ import annotations

from drivetrain.data.folder_names import is_of_captions, may_annotate, named_subsets, subset_in
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_SHOWN = 3


def detect(tree: Tree) -> bool:
    """Whether there are images."""
    return bool(tree.images)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """All images, in the subsets named by their folders.

    Raises:
        DataFormatError: there are no images, or there are files that may be annotations and this format was not
            requested.
    """
    if not tree.images:
        raise DataFormatError(f"{tree.root} contains no images.")
    files = [name for name in tree.files if may_annotate(name)]
    if files and request.format != "unannotated":
        shown = ", ".join(files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")
        raise DataFormatError(
            f"{tree.root} contains {len(tree.images)} images, but neither class folders nor annotations of a known "
            f"format; these files were not recognised: {shown}. Put the images into one folder per class, "
            "or add annotations (COCO .json, YOLO labels/, VOC Annotations/, .csv), or name the format: "
            "format=...; 'unannotated' reads only the images."
        )
    subsets = named_subsets({name.partition("/")[0] for name in tree.images if "/" in name})
    records = [
        Record(tree.absolute(name), subsets.get(name.partition("/")[0]) or subset_in(name.rpartition("/")[0]))
        for name in tree.images
    ]
    parsed = Parsed(records, [], Task.ANOMALY, "unannotated", annotated=False)
    captions = [name for name in tree.files if is_of_captions(name.rpartition("/")[2])]
    if captions:
        parsed.notes.append(f"Captions are not used here: {', '.join(captions[:_SHOWN])}.")
    parsed.notes.append(
        "The images have no classes and no annotations: they can be predicted on and described; to learn what is "
        "normal from them, give task='anomaly'."
    )
    return parsed
