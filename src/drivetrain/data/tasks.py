"""The tasks that the annotations of a data set support."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from drivetrain.data.facts import Facts
from drivetrain.data.table import list_lengths, list_values
from drivetrain.errors import DataError
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def servable_tasks(data: Dataset) -> tuple[Task, ...]:
    """Every task that the annotations support, as far as the columns show."""
    return tuple(task for task in Task if _missing(data, task) is None)


def fit_task(data: Dataset, task: Task) -> tuple[pa.Table, Facts]:
    """The rows and the facts of the data set for another task.

    Raises:
        DataError: the annotations do not support the task; the message says what they support.
    """
    reason = _missing(data, task)
    if reason is not None:
        others = ", ".join(other.value for other in servable_tasks(data)) or "none"
        if not data.is_annotated:
            reason = "the images have no classes and no annotations"
        raise DataError(
            f"task={task.value!r}: {reason} (read as {data.format!r} from {data.source}). "
            f"These annotations support: {others}."
        )
    table = data.table
    if task is Task.ANOMALY and not data.is_annotated and (data.anomalous < 0).all():
        table = _all_normal(table)
        data = data.with_notes(f"The {len(data)} images have no annotations and count as normal ones.")
    if task is Task.MULTILABEL_CLASSIFICATION and _all_null_or_empty(table, "labels"):
        table = _labels_from_objects(table)
        data = data.with_notes("The labels of an image are those of the objects on it.")
    if task is Task.CLASSIFICATION:
        unlabelled = list_lengths(table, "labels") < 1
        if unlabelled.any():
            table = table.filter(pa.array(~unlabelled))
            example = data.paths[int(np.argmax(unlabelled))]
            data = data.with_notes(f"{int(unlabelled.sum())} images without a label are left out, such as {example}.")
    return table, replace(data.facts, task=task)


def _missing(data: Dataset, task: Task) -> str | None:
    """Why the task is not supported, or ``None`` if it is."""
    table = data.table
    if task is Task.CLASSIFICATION:
        lengths = list_lengths(table, "labels")
        if (lengths > 1).any():
            example = data.paths[int(np.argmax(lengths > 1))]
            return f"{int((lengths > 1).sum())} images have more than one label, such as {example}"
        return None if (lengths == 1).any() else "no image has a label of its own"
    if task is Task.MULTILABEL_CLASSIFICATION:
        found = not (_all_null_or_empty(table, "labels") and _all_null_or_empty(table, "box_labels"))
        return None if found else "neither images nor objects have labels"
    if task.has_objects:
        return _missing_objects(data, task)
    if task is Task.SEMANTIC_SEGMENTATION:
        return _missing_class_maps(data)
    if task is Task.ANOMALY:
        known = not data.is_annotated or (data.anomalous >= 0).any()
        return None if known else "it is not known which images are normal"
    return "no supported format has depth maps"


def _missing_objects(data: Dataset, task: Task) -> str | None:
    table = data.table
    if _all_null_or_empty(table, "boxes"):
        return "there are no boxes"
    if task is Task.KEYPOINT_DETECTION and _all_null_or_empty(table, "keypoints"):
        return "there are no keypoints"
    if task is Task.INSTANCE_SEGMENTATION and not has_shapes(data):
        return "there are no polygons or masks of the objects"
    if task is Task.ORIENTED_DETECTION and not has_corners(data):
        return "the objects have no four corners"
    return None


def _missing_class_maps(data: Dataset) -> str | None:
    with_maps = len(data) - data.table.column("mask_path").null_count
    if with_maps:
        return None if (data.anomalous >= 0).sum() == 0 else "the masks are those of defects, not of classes"
    return None if has_shapes(data) else "there are no class maps, polygons or masks"


def has_shapes(data: Dataset) -> bool:
    """Whether objects have outlines: polygons or masks."""
    return not (_all_null_or_empty(data.table, "polygons") and _all_null_or_empty(data.table, "rles"))


def has_corners(data: Dataset) -> bool:
    """Whether every object has exactly one ring of four corners."""
    if _all_null_or_empty(data.table, "polygons"):
        return False
    objects = data.table.column("polygons").combine_chunks().flatten()
    rings = objects.flatten()
    one_ring = (np.diff(objects.offsets.to_numpy()) == 1).all()
    return bool(one_ring and (np.diff(rings.offsets.to_numpy()) == 8).all())


def _all_null_or_empty(table: pa.Table, name: str) -> bool:
    return bool((list_lengths(table, name) < 1).all())


def _all_normal(table: pa.Table) -> pa.Table:
    position = table.schema.get_field_index("anomalous")
    return table.set_column(position, "anomalous", pa.array([False] * table.num_rows, pa.bool_()))


def _labels_from_objects(table: pa.Table) -> pa.Table:
    lengths = np.maximum(list_lengths(table, "box_labels"), 0)
    rows = np.split(list_values(table, "box_labels"), np.cumsum(lengths)[:-1])
    position = table.schema.get_field_index("labels")
    labels = pa.array([np.unique(row).tolist() for row in rows], table.schema.field("labels").type)
    return table.set_column(position, "labels", labels)
