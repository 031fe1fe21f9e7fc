"""Predictions as a data set, so that they can be written in any format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.dataset import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.geometry import polygon_area
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError, either
from drivetrain.images import rle as run_length
from drivetrain.types import Prediction, Predictions, Task

_SUBSET = "predicted"
_ANOMALY = "anomalous"


def dataset_from_predictions(predictions: Predictions, *, files_only: bool = True) -> Dataset:
    """The predicted labels, objects, class maps and defects as annotations, with their scores and tracks.

    Class maps and defects become run-length masks, one for each class on an image; images classified as normal have
    no defects. Predicted confidences of keypoints become visibilities: 2 from 0.5 on, 1 below, 0 for 0. Images whose
    truth is known keep their ids.

    Args:
        predictions: the predictions.
        files_only: refuse images that are not files; otherwise frames and arrays get a name that stands for them.

    Raises:
        DataError: an image has no file of its own, or the task has no annotation format (depth).
    """
    if predictions.task is Task.DEPTH:
        raise DataError("Predictions of task='depth' have no annotation format; take depth_map from each of them.")
    names = list(predictions.label_names)
    if predictions.task is Task.ANOMALY and _ANOMALY not in names:
        names.append(_ANOMALY)
    if files_only:
        _require_files(predictions)
    ids = _image_ids(predictions)
    records = [
        _record(item, name, identity, names, predictions.task)
        for item, name, identity in zip(predictions, image_names(predictions), ids, strict=True)
    ]
    keypoints = next((item.keypoints.shape[1] for item in predictions if item.keypoints is not None), 0)
    facts = Facts(
        label_names=tuple(names),
        task=predictions.task,
        source="predictions",
        format="predictions",
        skipped=predictions.skipped,
        keypoint_names=tuple(f"point_{index}" for index in range(keypoints)),
        fingerprint=fingerprint_of(str(record) for record in records),
    )
    return Dataset(build_table(records), facts)


def image_names(predictions: Predictions) -> list[str]:
    """A name for each image: the absolute path of its file, that of its video with ``#frame``, or ``#position``."""
    return [os.path.abspath(item.path) if item.path else f"#{index}" for index, item in enumerate(predictions)]  # noqa: PTH100


def has_file(item: Prediction) -> bool:
    """Whether the image is a separate file."""
    return bool(item.path) and Path(item.path).is_file()


def _require_files(predictions: Predictions) -> None:
    for index, item in enumerate(predictions):
        if not has_file(item):
            what = f"{item.path!r} is not a file" if item.path else "it was given as an array"
            raise DataError(
                f"The image of prediction {index} cannot be referred to: {what}. "
                f"{either('predictions.save(path, format)', '--output FOLDER --output_format FORMAT')} also writes "
                "frames and arrays; or save it as a file and predict on that."
            )


def _image_ids(predictions: Predictions) -> Sequence[int]:
    """The ids of the images in the data they come from, if these are unique; otherwise their positions."""
    truth = predictions.truth
    known = [truth[item.path].image_id for item in predictions if item.path in truth] if truth is not None else []
    return known if len(set(known)) == len(predictions) else range(len(predictions))


def _record(item: Prediction, name: str, identity: int, names: list[str], task: Task) -> Record:
    record = Record(name, _SUBSET, item.size, identity)
    if task is Task.ANOMALY:
        _fill_anomaly(record, item, names)
    elif task is Task.SEMANTIC_SEGMENTATION and item.class_map is not None:
        labels = [int(value) for value in np.unique(item.class_map) if value < len(names)]
        _fill_masks(record, labels, [item.class_map == label for label in labels])
    elif item.boxes is None and item.masks is None and item.corners is None and item.keypoints is None:
        record.labels = [] if item.labels is None else item.labels.tolist()
        record.scores = _scores(item)
    else:
        _fill_objects(record, item)
    return record


def _fill_anomaly(record: Record, item: Prediction, names: list[str]) -> None:
    """The defect of an image classified as anomalous: its mask, or a label of the whole image if there is none."""
    record.anomalous = item.is_anomalous
    if item.labels is not None:
        record.labels = item.labels.tolist()
    if item.anomaly_mask is not None:
        found = bool(item.anomaly_mask.any()) and item.is_anomalous is not False
        _fill_masks(record, [names.index(_ANOMALY)] * found, [item.anomaly_mask] * found)
    elif item.labels is None:
        record.labels = [names.index(_ANOMALY)] if item.is_anomalous else []
    if item.anomaly_score is not None:
        record.scores = [item.anomaly_score] * len(record.labels if record.box_labels is None else record.box_labels)


def _fill_masks(record: Record, labels: list[int], masks: list[NDArray[np.bool_]]) -> None:
    rles = [run_length.encode_mask(mask) for mask in masks]
    record.rles = list(rles)
    record.box_labels = labels
    record.boxes = [value for rle in rles for value in run_length.box_of(rle)]
    record.area = [float(run_length.area_of(rle)) for rle in rles]
    record.iscrowd = [False] * len(labels)


def _fill_objects(record: Record, item: Prediction) -> None:
    labels = [] if item.labels is None else item.labels.tolist()
    if item.masks is not None:
        _fill_masks(record, labels, list(item.masks))
    if item.corners is not None:
        record.polygons = [[corners.reshape(-1).tolist()] for corners in item.corners]
    boxes = item.boxes
    if boxes is None and item.corners is not None:
        boxes = np.concatenate([item.corners.min(axis=1), item.corners.max(axis=1)], axis=1)
    if boxes is None and item.keypoints is not None:
        boxes = np.concatenate([item.keypoints[..., :2].min(axis=1), item.keypoints[..., :2].max(axis=1)], axis=1)
    if boxes is not None:
        record.boxes = boxes.reshape(-1).tolist()
    if item.keypoints is not None:
        visible = np.where(item.keypoints[..., 2:] >= 0.5, 2.0, (item.keypoints[..., 2:] > 0) * 1.0)
        triples = np.concatenate([item.keypoints[..., :2], visible], axis=2)
        record.keypoints = [points.reshape(-1).tolist() for points in triples]
    record.box_labels = labels
    record.iscrowd = [False] * len(labels)
    record.scores = _scores(item)
    record.track_ids = None if item.track_ids is None else item.track_ids.tolist()
    if item.masks is None and record.polygons is not None:
        record.area = [polygon_area(rings) for rings in record.polygons]
    elif item.masks is None and boxes is not None:
        record.area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()


def _scores(item: Prediction) -> list[float] | None:
    return None if item.scores is None else item.scores.tolist()
