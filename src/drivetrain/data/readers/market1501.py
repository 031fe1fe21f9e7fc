"""Market-1501 and similar data sets: cropped people, with person and camera in the file name."""

from __future__ import annotations

import re

from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_SUBSETS = {"bounding_box_train": "train", "bounding_box_test": "test", "query": "test", "gt_bbox": "test"}
_NAME = re.compile(r"^(-1|\d{4})_c\d+s?\d*_")
_NOBODY = frozenset({"-1", "0000"})


def detect(tree: Tree) -> bool:
    """Whether there is a folder ``bounding_box_train`` or ``bounding_box_test`` of images named that way."""
    return any(
        name.rpartition("/")[2].startswith("bounding_box_") and any(map(_NAME.match, files))
        for name, files in tree.by_folder.items()
    )


def read(tree: Tree, _: ReadRequest) -> Parsed:
    """The images; each person is a label. Images of nobody (``-1``, ``0000``) are skipped.

    Raises:
        DataFormatError: no image is named that way.
    """
    found: list[tuple[Record, str]] = []
    parsed = Parsed([], [], Task.CLASSIFICATION, "market1501")
    for name in tree.images:
        folder, file = name.rpartition("/")[0::2]
        subset, match = _SUBSETS.get(folder.rpartition("/")[2]), _NAME.match(file)
        if subset is None or match is None:
            continue
        if match[1] in _NOBODY:
            parsed.skipped.append((tree.absolute(name), "shows nobody (-1 or 0000)"))
        else:
            found.append((Record(tree.absolute(name), subset), match[1]))
    if not found:
        raise DataFormatError(f"{tree.root} is not in the format of Market-1501: no image is named PERSON_cCAMERA...")
    parsed.label_names = sorted({person for _, person in found})
    number = {person: index for index, person in enumerate(parsed.label_names)}
    for record, person in found:
        record.labels = [number[person]]
        parsed.records.append(record)
    return parsed
