"""The use of the data: their task, and how they are divided into subsets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.anomaly import is_normal_name
from drivetrain.data.tasks import servable_tasks
from drivetrain.errors import DataError
from drivetrain.recommend.plan import Decision
from drivetrain.types import Task

_SHARES = ((0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.5, 0.25, 0.25))
_WHAT: Mapping[Task, str] = {
    Task.CLASSIFICATION: "each image has one label",
    Task.MULTILABEL_CLASSIFICATION: "images have any number of labels",
    Task.DETECTION: "the objects have boxes",
    Task.ORIENTED_DETECTION: "the objects have four corners",
    Task.INSTANCE_SEGMENTATION: "most of the objects have outlines as well as boxes",
    Task.SEMANTIC_SEGMENTATION: "the images have class maps",
    Task.KEYPOINT_DETECTION: "the objects have keypoints",
    Task.ANOMALY: "the training images are all normal",
}


def read(data: Any, task: Task | None) -> tuple[Dataset, Decision]:
    """Read the data for their task, and say why it is this task.

    Raises:
        DataError: the data cannot be read, or have no annotations.
    """
    if task is not None:
        return _load(data, task), Decision("task", task.value, "given", given=True)
    found = _load(data, None)
    _require_annotations(found)
    if (marked := _with_normal_images(found, data)) is not None:
        return marked
    others = [other.value for other in servable_tasks(found) if other is not found.task]
    more = f"; the annotations can also serve {', '.join(others)}" if others else ""
    return found, Decision("task", found.task.value, f"{_WHAT.get(found.task, 'from the annotations')}{more}")


def _load(data: Any, task: Task | None) -> Dataset:
    try:
        return load_dataset(data, task=task)
    except DataError as error:
        if isinstance(data, str | os.PathLike | Dataset):
            raise
        raise DataError(f"{error} To train on this, give a model too: none can be chosen from it.") from error


def _require_annotations(data: Dataset) -> None:
    """Refuse data without any annotations."""
    has_objects = bool((data.object_counts > 0).any())
    has_labels = bool((data.image_labels >= 0).any())
    has_maps = any(path is not None for path in data.mask_paths)
    if not (has_objects or has_labels or has_maps or (data.anomalous >= 0).any()):
        raise DataError(
            f"data={data.source!r}: {len(data)} images were found (read as {data.format!r}), but none of them has an "
            "annotation. Expected: one folder for each class; normal images in a folder 'good'; or annotations (COCO "
            ".json, YOLO labels/, VOC Annotations/, .csv). To learn what is normal from all of them, give "
            "task='anomaly'."
        )


def _with_normal_images(data: Dataset, source: Any) -> tuple[Dataset, Decision] | None:
    """Class folders, one of them with the normal images, as anomaly data; ``None`` for other data."""
    counts = data.class_counts() if data.task is Task.CLASSIFICATION else {}
    normal = [name for name in counts if is_normal_name(name)]
    if len(normal) != 1 or data is source:
        return None
    good = counts[normal[0]]
    defects = sum(counts.values()) - good
    if defects > good:
        reason = (
            f"{normal[0]!r} names normal images, but the {defects} defects outnumber the {good} normal images and are "
            "enough to learn the difference; task='anomaly' learns from the normal images alone"
        )
        return data, Decision("task", data.task.value, reason)
    reason = (
        f"{normal[0]!r} names normal images, and the {defects} others are fewer than these {good}, so the model learns "
        "what is normal; task='classification' learns the defects too"
    )
    return load_dataset(source, task=Task.ANOMALY), Decision("task", Task.ANOMALY.value, reason)


def divide(data: Dataset) -> tuple[Dataset, Decision]:
    """Divide the data into subsets, and say how.

    Raises:
        DataError: there are no training images.
    """
    if set(data.subsets) != {"train"}:
        divided = data.with_splits() if "train" in data.subsets else data
        if divided is data:
            return data, Decision("splits", None, f"the data are already divided: {_listed(data)}")
        made = f"the data have {_listed(data)}; val is split off from train with seed 0: {_listed(divided)}"
        return divided, Decision("splits", None, made)
    tried = [(shares, data.split(*shares)) for shares in _SHARES]
    shares, divided = next(((s, d) for s, d in tried if _has_every_label(d)), tried[0])
    why = "the data have no subsets, so they are divided with seed 0, stratified by label"
    if shares != _SHARES[0]:
        why += "; more than a tenth is held out, so that every label occurs in validation"
    return divided, Decision("splits", list(shares), f"{why}: {_listed(divided)}")


def _has_every_label(data: Dataset) -> bool:
    """Whether validation and test images contain every label of the training images."""
    if data.task in (Task.ANOMALY, Task.SEMANTIC_SEGMENTATION) or not {"val", "test"} <= set(data.subsets):
        return True
    train, val, test = (data.subset(name).class_counts() for name in ("train", "val", "test"))
    return all(val[name] and test[name] for name, count in train.items() if count)


def _listed(data: Dataset) -> str:
    return ", ".join(f"{name} {count}" for name, count in data.subsets.items())
