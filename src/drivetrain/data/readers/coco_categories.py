"""The labels and keypoints named by the categories of COCO documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivetrain.data.read_record import Parsed
from drivetrain.errors import either


def label_numbers(
    documents: Sequence[Sequence[Mapping[str, Any]]], used: Mapping[Any, int], parsed: Parsed
) -> tuple[list[str], list[dict[Any, int]]]:
    """The label names by category id, and for each document the number of each of its category ids.

    Args:
        documents: the categories of each document.
        used: the number of annotations per category id.
        parsed: receives the notes and the names of the keypoints.
    """
    merged: dict[str, Any] = {}
    for categories in documents:
        parents = {category.get("supercategory") for category in categories}
        for category in sorted(categories, key=lambda c: (not isinstance(c["id"], int), c["id"], str(c["name"]))):
            name = str(category["name"])
            if name in parents and not used.get(category["id"]) and category.get("supercategory") in (None, "none", ""):
                parsed.notes.append(f"The category {name!r} only groups others and is not a label.")
                continue
            merged.setdefault(name, category["id"])
            _take_keypoints(name, category.get("keypoints"), parsed)
    parsed.notes[:] = list(dict.fromkeys(parsed.notes))
    number = {name: index for index, name in enumerate(merged)}
    return list(merged), [
        {c["id"]: number[str(c["name"])] for c in categories if str(c["name"]) in number} for categories in documents
    ]


def _take_keypoints(name: str, points: Any, parsed: Parsed) -> None:
    """The names of the keypoints of the first category that has some; a note where another one names others."""
    if not isinstance(points, list) or not points:
        return
    names = tuple(str(point) for point in points)
    if not parsed.keypoint_names:
        parsed.keypoint_names = names
    elif names != parsed.keypoint_names:
        parsed.notes.append(
            f"The category {name!r} names other keypoints ({', '.join(names[:4])}, ...) than those before it "
            f"({', '.join(parsed.keypoint_names[:4])}, ...), whose names are used for all. Train on one of them: "
            f"{either('load_dataset(...).filter(labels=...)', 'drivetrain data FOLDER --labels NAME --output NEW')}."
        )


def name_keypoints(annotations: Sequence[Mapping[str, Any]], parsed: Parsed) -> None:
    """Number the keypoints if the categories do not name them."""
    if parsed.keypoint_names:
        return
    counts = [len(points) // 3 for a in annotations if isinstance(points := a.get("keypoints"), list) and points]
    if counts:
        number_keypoints(max(counts), parsed)


def number_keypoints(count: int, parsed: Parsed) -> None:
    """Name the keypoints by their numbers, with a note."""
    parsed.keypoint_names = tuple(f"point_{index}" for index in range(count))
    parsed.notes.append(f"The categories do not name their {count} keypoints; they are numbered.")
