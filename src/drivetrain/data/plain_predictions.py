"""Predictions, with the truth next to them, as plain data for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from drivetrain.data.writers.coco import segmentation_of
from drivetrain.images.rle import encode_mask
from drivetrain.types import Prediction, Predictions, Sample
from drivetrain.types.summary import class_shares

_NUMBERS = ("scores", "boxes", "keypoints", "corners", "probabilities")


def plain_prediction(item: Prediction) -> dict[str, Any]:
    """A prediction's content: labels with their names, masks as COCO run lengths, a class map as fractions.

    Maps of the whole image are left out. Floats are the shortest that round to the same ``float32``; NaN is ``None``.
    """
    row: dict[str, Any] = {"path": item.path, "size": list(item.size)}
    if item.timestamp is not None:
        row["timestamp"] = round(item.timestamp, 6)
    if item.labels is not None:
        row |= {"labels": item.labels.tolist(), "names": [item.name_of(label) for label in item.labels]}
    row |= {name: _numbers(getattr(item, name)) for name in _NUMBERS if getattr(item, name) is not None}
    if item.track_ids is not None:
        row["track_ids"] = item.track_ids.tolist()
    if item.anomaly_score is not None:
        row |= {"is_anomalous": item.is_anomalous, "anomaly_score": _number(item.anomaly_score)}
    if item.explanation is not None:
        row["explanation"] = item.explanation
    if item.masks is not None:
        row["masks"] = [encode_mask(mask) for mask in item.masks]
    if item.anomaly_mask is not None:
        row["anomaly_mask"] = encode_mask(item.anomaly_mask)
    if item.class_map is not None:
        row["class_shares"] = class_shares(item)
    return row


def plain_predictions(predictions: Predictions) -> dict[str, Any]:
    """Task, label names, each prediction with its truth if the source is a data set, and the skipped images."""
    truth = predictions.truth
    rows = []
    for item in predictions:
        row = plain_prediction(item)
        if truth is not None and (sample := truth.get(item.path)) is not None:
            row["truth"] = _plain_truth(sample, truth.label_names)
        rows.append(row)
    return {
        "task": predictions.task.value,
        "label_names": list(predictions.label_names),
        "predictions": rows,
        "skipped": [{"path": path, "reason": reason} for path, reason in predictions.skipped],
    }


def _plain_truth(sample: Sample, label_names: tuple[str, ...]) -> dict[str, Any]:
    """The annotations; labels are given by name, as the model may number them differently."""
    labels = sample.labels if sample.box_labels is None else sample.box_labels
    row: dict[str, Any] = {"names": [label_names[label] for label in labels]}
    if sample.boxes is not None:
        row["boxes"] = _numbers(sample.boxes)
        if sample.rles is not None or sample.polygons is not None:
            row["segmentation"] = [segmentation_of(sample, index) for index in range(len(sample.boxes))]
    if sample.keypoints is not None:
        row["keypoints"] = _numbers(sample.keypoints)
    if sample.anomalous is not None:
        row["is_anomalous"] = sample.anomalous
    if sample.mask_path is not None:
        row["mask_path"] = sample.mask_path
    return row


def _numbers(values: Any) -> Any:
    array = np.asarray(values)
    return [_numbers(row) for row in array] if array.ndim > 1 else [_number(value) for value in array]


def _number(value: Any) -> float | None:
    """The shortest float that rounds to the same value of its type, such as 0.9 for the float32 0.8999999762."""
    number = float(str(value))
    return number if math.isfinite(number) else None
