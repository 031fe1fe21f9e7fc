"""Checks for what prevents a data set, or some of its labels, from being learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.anomaly import ALL_ANOMALOUS
from drivetrain.data.detect import NOT_READ
from drivetrain.data.label_names import folded
from drivetrain.errors import DataError, near
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset

_MOST_NAMES = 5


def require_trainable(data: Dataset, task: Task) -> None:
    """Reject data that nothing can be learned from, though they can be measured or predicted on.

    Args:
        data: with its subsets.
        task: the task to learn.

    Raises:
        DataError: there is no training image, or a classifier would have only one class.
    """
    if not data.is_annotated and task is not Task.ANOMALY:
        raise DataError(
            f"{data.source}: its {len(data)} images have no classes and no annotations, so all that can be learned is "
            "what is normal: task='anomaly'. For another task put the images into one folder per class, or "
            "add annotations (COCO .json, YOLO labels/, VOC Annotations/, .csv)."
        )
    if "train" not in data.subsets:
        found = ", ".join(f"{name} ({count})" for name, count in data.subsets.items())
        normal = " An anomaly model trains only on normal images." if task is Task.ANOMALY else ""
        hints = [note for note in data.notes if note.startswith(ALL_ANOMALOUS)]
        raise DataError(
            f"The data have no training image; their subsets are: {found}.{normal}{''.join(f' {h}' for h in hints)}"
        )
    if task is Task.CLASSIFICATION:
        _require_two_classes(data)


def _require_two_classes(data: Dataset) -> None:
    present = np.unique(data.image_labels[data.image_labels >= 0])
    if len(present) > 1:
        return
    name = data.label_names[present[0]] if len(present) else "none"
    hints = "".join(f" {note}" for note in data.notes if note.startswith(NOT_READ))
    raise DataError(
        f"{data.source}: all images are of one class, {name!r}; a classifier needs two. If these images show what is "
        "normal, an anomaly model learns it from them alone: give task='anomaly', and name the class: normal='NAME' "
        f"of load_dataset, --data.normal NAME.{hints}"
    )


def unseen_labels(data: Dataset) -> list[str]:
    """A sentence for each subset with labels that no training image has.

    Training labels that differ only in case or in the form of an accent are named as the likely reason.
    """
    if "train" not in data.subsets or not data.label_names or data.task is Task.ANOMALY:
        return []
    shown = _occurring(data.subset("train"))
    trained = [data.label_names[number] for number in np.flatnonzero(shown)]
    sentences = []
    for subset in (name for name in ("val", "test") if name in data.subsets):
        asked = _occurring(data.subset(subset))
        unseen = [data.label_names[number] for number in np.flatnonzero(asked & ~shown)]
        if unseen:
            sentences.append(
                f"{listed(unseen)} {'occurs' if len(unseen) == 1 else 'occur'} in {subset} but never in train, so "
                f"{'it' if len(unseen) == 1 else 'they'} cannot be learned.{_spellings(unseen, trained)}"
            )
    return sentences


def _occurring(data: Dataset) -> NDArray[np.bool_]:
    return np.array([count > 0 for count in data.class_counts().values()], np.bool_)


def _spellings(unseen: list[str], trained: list[str]) -> str:
    """What the unseen labels may have been meant to be; empty if no training label is similar."""
    alike = {folded(name): name for name in trained}
    same = [(name, alike[folded(name)]) for name in unseen if folded(name) in alike]
    if same:
        pairs = ", ".join(f"{name!r} and {other!r}" for name, other in same[:_MOST_NAMES])
        return f" Are these two spellings of one class: {pairs}?"
    return near(unseen[0], trained) if len(unseen) == 1 else ""


def listed(names: list[str]) -> str:
    """The first names, quoted, and the number of the others."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
