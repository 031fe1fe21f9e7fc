"""The labels of whole images in VOC: an image list per class and subset, with 1, 0 (difficult) or -1."""

from __future__ import annotations

from collections.abc import Mapping

from drivetrain.data.find_image import ImageFinder
from drivetrain.data.read_record import Parsed, Record
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.types import Task

_SETS = ("_trainval.txt", "_train.txt", "_val.txt", "_test.txt")
_FLAGS = frozenset({"1", "0", "-1"})


def class_lists(tree: Tree, folder: str) -> dict[str, dict[str, bool]]:
    """Class -> image -> whether the image shows it.

    Args:
        tree: the files.
        folder: ``ImageSets/Main`` relative to the root, with a trailing slash.
    """
    found: dict[str, dict[str, bool]] = {}
    for file in tree.with_suffix(".txt"):
        name = file.removeprefix(folder)
        end = next((end for end in _SETS if name.endswith(end)), "")
        if not end or "/" in name or not file.startswith(folder):
            continue
        rows = [line.split() for line in read_text(tree.root / file).splitlines() if line.strip()]
        if all(len(row) == 2 and row[1] in _FLAGS for row in rows):
            shown = found.setdefault(name.removesuffix(end), {})
            shown.update({image: flag != "-1" for image, flag in rows})
    return found


def read_labels(
    tree: Tree, images: str, lists: Mapping[str, Mapping[str, bool]], subsets: Mapping[str, str], names: list[str]
) -> Parsed:
    """The labels of all images in the lists.

    Args:
        tree: the files.
        images: the folder of the images, relative to the root.
        lists: from :func:`class_lists`.
        subsets: image -> subset.
        names: the classes in order, if known.
    """
    labels = [name for name in names if name in lists] + sorted(set(lists) - set(names))
    finder = ImageFinder(tree)
    parsed = Parsed([], labels, Task.MULTILABEL_CLASSIFICATION, "voc")
    for image in sorted({*subsets, *(image for shown in lists.values() for image in shown)}):
        path = finder.find_stem(image, [images])
        if path is None:
            parsed.skipped.append((image, "is named in a list, but was not found"))
            continue
        numbers = [number for number, name in enumerate(labels) if lists[name].get(image)]
        parsed.records.append(Record(path, subsets.get(image, "train"), labels=numbers))
    _drop_background(parsed)
    if all(len(record.labels) == 1 for record in parsed.records):
        parsed.task = Task.CLASSIFICATION
    return parsed


def _drop_background(parsed: Parsed) -> None:
    """Drop ``background``, which other tools list though no image shows it."""
    if "background" not in parsed.label_names:
        return
    number = parsed.label_names.index("background")
    if any(number in record.labels for record in parsed.records):
        return
    del parsed.label_names[number]
    for record in parsed.records:
        record.labels = [label - (label > number) for label in record.labels]
