"""Class maps and defect masks as objects with run-length masks, for formats that have no maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.images import rle as run_length
from drivetrain.images.masks import class_map, rasterise
from drivetrain.types import Sample, Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def with_mask_objects(data: Dataset) -> Dataset:
    """The same images, with the contents of mask files as objects with a mask.

    Each class in a class map is one object; a mask of defects is one object with the label of the image.

    Raises:
        DataError: a mask cannot be read.
    """
    if not any(data.mask_paths):
        return data
    scores, tracks = data.scores, data.track_ids
    records = []
    for row, sample in enumerate(data):
        record = _record(sample, scores[row] if scores else None)
        record.track_ids = tracks[row] if tracks else None
        if sample.mask_path is not None:
            _add(record, list(_parts(sample, data.task, len(data.label_names))))
        records.append(record)
    return type(data)(build_table(records), replace(data.facts))


def _parts(sample: Sample, task: Task, labels: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The label and the pixels of each object in the mask of an image."""
    if task is Task.SEMANTIC_SEGMENTATION:
        pixels = class_map(sample)
        for label in np.unique(pixels).tolist():
            if label < labels:  # others are ignored
                yield int(label), pixels == label
    elif len(sample.labels) and (marked := rasterise(sample)).any():
        yield int(sample.labels[0]), marked


def _record(sample: Sample, scores: list[float] | None) -> Record:
    """A sample as a reader would return it, without its mask."""
    record = Record(sample.path, sample.subset, sample.size, sample.image_id, sample.labels.tolist())
    record.anomalous, record.scores = sample.anomalous, scores
    for name in ("boxes", "box_labels", "area", "iscrowd"):
        values = getattr(sample, name)
        setattr(record, name, None if values is None else values.reshape(-1).tolist())
    if sample.polygons is not None:
        record.polygons = [[ring.reshape(-1).tolist() for ring in rings] for rings in sample.polygons]
    if sample.keypoints is not None:
        record.keypoints = [points.reshape(-1).tolist() for points in sample.keypoints]
    record.rles = None if sample.rles is None else [None if rle is None else dict(rle) for rle in sample.rles]
    return record


def _add(record: Record, parts: list[tuple[int, NDArray[np.bool_]]]) -> None:
    rles = [run_length.encode_mask(marked) for _, marked in parts]
    count = len(record.box_labels or ())
    record.boxes = [*(record.boxes or ()), *(value for rle in rles for value in run_length.box_of(rle))]
    record.rles = [*(record.rles or [None] * count), *rles]
    record.area = [*(record.area or ()), *(float(run_length.area_of(rle)) for rle in rles)]
    record.iscrowd = [*(record.iscrowd or ()), *(False for _ in rles)]
    record.box_labels = [*(record.box_labels or ()), *(label for label, _ in parts)]
    for name in ("polygons", "keypoints"):
        if (values := getattr(record, name)) is not None:
            setattr(record, name, [*values, *([] for _ in rles)])
    if not rles and not any(record.rles):
        record.rles = None
