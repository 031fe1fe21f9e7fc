"""A data set's contents in numbers, and problems that are likely to spoil a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drivetrain.data.label_pairs import label_pairs
from drivetrain.data.table import list_values
from drivetrain.data.trainable import listed, unseen_labels
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset

#: Object areas in pixels that separate small, medium and large in COCO.
_SMALL, _LARGE = 32**2, 96**2
#: The ratio of the most to the least frequent class beyond which the rare one is hardly learned.
_LARGEST_RATIO = 20.0


def describe(data: Dataset) -> dict[str, Any]:
    """Counts, labels and sizes as plain data.

    Returns:
        ``format, task, annotated, images, subsets, label_names, images_per_class`` (subset -> label -> images),
        ``objects_per_class`` (empty without objects), ``image_sizes`` (``smallest, median, largest`` as height,
        width in pixels), ``objects``, ``fingerprint``, ``notes``, ``left_out`` (images that are not items, by folder
        and suffix, with the reason), ``skipped``.
    """
    has_objects = bool((data.object_counts >= 0).any())
    return {
        "format": data.format,
        "task": data.task.value,
        "annotated": data.is_annotated,
        "images": len(data),
        "subsets": dict(data.subsets),
        "label_names": data.label_names,
        "keypoint_names": data.keypoint_names,
        "images_per_class": {name: _images_per_class(data.subset(name)) for name in data.subsets},
        "objects_per_class": data.class_counts() if has_objects else {},
        "image_sizes": _image_sizes(data),
        "objects": _objects(data) if has_objects else {},
        "fingerprint": data.fingerprint,
        "notes": data.notes,
        "left_out": [
            {"folder": entry.folder, "suffix": entry.suffix, "images": entry.count, "reason": entry.reason}
            for entry in data.facts.left_out
        ],
        "skipped": [{"path": file, "reason": reason} for file, reason in data.skipped],
    }


def _images_per_class(data: Dataset) -> dict[str, int]:
    """The number of images that have each label, or an object with it."""
    counts = np.bincount(label_pairs(data)[1], minlength=len(data.label_names))
    return dict(zip(data.label_names, counts.tolist(), strict=True))


def _image_sizes(data: Dataset) -> dict[str, tuple[int, int]]:
    """By area; each is the size of an actual image."""
    order = np.argsort(data.sizes.astype(np.int64).prod(axis=1), kind="stable")
    positions = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    return {name: tuple(data.sizes[position].tolist()) for name, position in positions.items()}


def _objects(data: Dataset) -> dict[str, float]:
    counts = np.maximum(data.object_counts, 0)
    boxes = np.asarray(list_values(data.table, "boxes"), np.float64).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    whole = np.repeat(data.sizes.astype(np.float64).prod(axis=1), counts)
    return {
        "objects": int(counts.sum()),
        "images without objects": int((counts == 0).sum()),
        "most in an image": int(counts.max(initial=0)),
        "small (below 32 x 32 pixels)": int((areas < _SMALL).sum()),
        "medium": int(((areas >= _SMALL) & (areas < _LARGE)).sum()),
        "large (from 96 x 96 pixels)": int((areas >= _LARGE).sum()),
        "median share of the image": float(np.median(areas / whole)) if len(areas) else 0.0,
    }


def problems_of(data: Dataset) -> list[str]:
    """Sentences on what is likely to spoil a training; what the readers noticed is in ``data.notes``."""
    return [sentence for _, sentence in kinds_of_problems(data)]


def kinds_of_problems(data: Dataset) -> list[tuple[str, str]]:
    """The sentences of :func:`problems_of`, each with its kind from :data:`drivetrain.types.data_findings.KINDS`."""
    if data.task is Task.ANOMALY:
        return [("problem", sentence) for sentence in _anomaly_problems(data)] if data.is_annotated else []
    problems = []
    counts = data.class_counts() if any(data.class_counts().values()) else {}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        problems.append(("unused_label", f"{listed(empty)} of the labels never occur."))
    present = {name: count for name, count in counts.items() if count}
    if present and max(present.values()) > _LARGEST_RATIO * min(present.values()):
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        sentence = (
            f"The classes are unbalanced: {most!r} occurs {present[most]} times and {least!r} {present[least]} times."
        )
        problems.append(("unbalanced", sentence))
    return problems + [("unseen_label", sentence) for sentence in unseen_labels(data)]


def _anomaly_problems(data: Dataset) -> list[str]:
    problems = []
    if "train" in data.subsets and (data.subset("train").anomalous == 1).any():
        problems.append("There are anomalies among the training images; a one-class model treats them as normal.")
    if not (data.anomalous == 1).any():
        problems.append("There is no image of an anomaly, so metrics and a threshold cannot be computed.")
    return problems
