"""YOLO: ``images/<subset>``, ``labels/<subset>`` and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from numpy.typing import NDArray

from drivetrain.data.writers import image_folder
from drivetrain.errors import DataError
from drivetrain.types import Sample, Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

_TASKS = {
    Task.DETECTION: "detect",
    Task.INSTANCE_SEGMENTATION: "segment",
    Task.KEYPOINT_DETECTION: "pose",
    Task.ORIENTED_DETECTION: "obb",
}


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write one text file per image with objects, coordinates as fractions of the upright image.

    Labels of whole images are folders, ``<subset>/<label>``, as Ultralytics expects.

    YOLO has no crowds, so these are skipped. An object with several parts is written as a single ring, which is all
    that the format supports: it goes from part to part and back on the same line, so that it covers what the parts
    cover.

    Raises:
        DataError: the task has no YOLO format, or an object has a mask instead of a polygon.
    """
    if data.task is Task.CLASSIFICATION:
        image_folder.write(data, folder, images)
        return
    if data.task not in _TASKS:
        raise DataError(
            f"format='yolo' cannot hold task={data.task.value!r}; it can: classification, {', '.join(_TASKS)}."
        )
    for row, sample in enumerate(data):
        images.place(row, folder / "images" / sample.subset)
        labels = folder / "labels" / sample.subset
        labels.mkdir(parents=True, exist_ok=True)
        lines = _lines(sample, data.task)
        if lines:
            (labels / f"{images.stems[row]}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config: dict[str, object] = {name: f"images/{name}" for name in data.subsets}
    config.setdefault("train", config.get("val", next(iter(config.values()), "images")))
    config.setdefault("val", config["train"])
    config |= {"names": dict(enumerate(data.label_names)), "task": _TASKS[data.task]}
    if data.task is Task.KEYPOINT_DETECTION:
        config |= {"kpt_shape": [len(data.keypoint_names), 3], "kpt_names": {0: list(data.keypoint_names)}}
    (folder / "data.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _lines(sample: Sample, task: Task) -> list[str]:
    if sample.boxes is None or sample.box_labels is None:
        return []
    lines = []
    scale = np.array([sample.size[1], sample.size[0]], np.float64)
    for index, label in enumerate(sample.box_labels.tolist()):
        if sample.iscrowd is not None and sample.iscrowd[index]:
            continue
        if task in (Task.INSTANCE_SEGMENTATION, Task.ORIENTED_DETECTION):
            values = (_ring(sample, index) / scale).reshape(-1)
        else:
            corners = sample.boxes[index].astype(np.float64).reshape(2, 2) / scale
            values = np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])
        if task is Task.KEYPOINT_DETECTION and sample.keypoints is not None:
            points = sample.keypoints[index].astype(np.float64)
            values = np.concatenate([values, np.column_stack([points[:, :2] / scale, points[:, 2]]).reshape(-1)])
        lines.append(" ".join([str(label), *(f"{value:.9g}" for value in values)]))
    return lines


def _ring(sample: Sample, index: int) -> NDArray[np.float64]:
    """The outline of an object as a single ring, ``(K, 2)``."""
    rings = sample.polygons[index] if sample.polygons is not None else ()
    if not rings:
        raise DataError(
            f"{sample.path}: object {index} has a mask and no polygon, which format='yolo' does not support. "
            "Use format='coco', which keeps masks."
        )
    return joined_rings([ring.astype(np.float64) for ring in rings])


def joined_rings(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join rings ``(K, 2)`` into one: each is connected by a line to the nearest point of those before, and back."""
    whole, rest = rings[0], list(rings[1:])
    while rest:
        pairs = [_nearest(whole, ring) for ring in rest]
        chosen = min(range(len(rest)), key=lambda index: pairs[index][0])
        _, here, there = pairs[chosen]
        ring = rest.pop(chosen)
        round_trip = np.concatenate([ring[there:], ring[: there + 1]])
        whole = np.concatenate([whole[: here + 1], round_trip, whole[here:]])
    return whole


def _nearest(ring: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, int, int]:
    """The smallest distance between points of two rings, and which points they are."""
    best = (np.inf, 0, 0)
    for index, point in enumerate(ring):
        distances = np.square(other - point).sum(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] < best[0]:
            best = (float(distances[nearest]), index, nearest)
    return best
