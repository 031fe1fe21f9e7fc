"""Predictions as a table (CSV): a row for each image or each object; readable as data in the format ``csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drivetrain.images.rle import box_of, encode_mask
from drivetrain.types import Prediction, Predictions, Task
from drivetrain.types.summary import class_shares, truth_in_words

_SEPARATOR = "|"
_IMAGE = ("path", "width", "height")
_BOX = ("xmin", "ymin", "xmax", "ymax")
_CORNERS = tuple(f"{axis}{number}" for number in range(1, 5) for axis in "xy")


def write_table(predictions: Predictions, names: Sequence[str], path: Path) -> None:
    """Write the table.

    Columns: ``path, width, height, label, score`` (``share`` of the image for class maps), for objects also ``xmin,
    ymin, xmax, ymax`` (and the corners of oriented boxes as ``x1, y1, ... x4, y4``), ``track`` if objects were
    tracked, ``explanation`` if a model explains, and ``truth`` if the source is a data set: the true label, or the
    true objects counted; for anomalies also the ``defect``. An image without objects has one row with empty cells.
    Several labels of one image stand in one cell, separated by ``|``.

    Args:
        predictions: predictions of any task but depth.
        names: the name of each image.
        path: the file.
    """
    explained = any(item.explanation is not None for item in predictions)
    columns = [*_IMAGE, *_answer_columns(predictions.task)]
    columns += ["track"] * any(item.track_ids is not None for item in predictions)
    columns += ["explanation"] * explained
    if predictions.truth is not None:
        columns += ["truth", "defect"] if predictions.task is Task.ANOMALY else ["truth"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for item, name in zip(predictions, names, strict=True):
            image = {"path": name, "width": item.size[1], "height": item.size[0], **_truth(predictions, item)}
            if explained:
                image["explanation"] = item.explanation or ""
            for row in _answers(item, predictions.task):
                writer.writerow({**image, **row})


def _truth(predictions: Predictions, item: Prediction) -> dict[str, str]:
    """The cells filled from the annotations, in the words of the answer so that the two can be compared."""
    sample = predictions.truth.get(item.path) if predictions.truth is not None else None
    if sample is None or predictions.truth is None:
        return {}
    names = [predictions.truth.label_names[label] for label in sample.labels]
    if predictions.task is Task.ANOMALY:
        if sample.anomalous is None:
            return {}
        defect = _SEPARATOR.join(names) if sample.anomalous else ""
        return {"truth": "anomalous" if sample.anomalous else "normal", "defect": defect}
    if predictions.task.has_objects:
        return {"truth": truth_in_words(sample, predictions.truth.label_names)}
    return {"truth": _SEPARATOR.join(names)}


def _answer_columns(task: Task) -> tuple[str, ...]:
    if task is Task.SEMANTIC_SEGMENTATION:
        return ("label", "share")
    boxes = _BOX if task.has_objects else ()
    return ("label", "score", *boxes, *(_CORNERS if task is Task.ORIENTED_DETECTION else ()))


def _answers(item: Prediction, task: Task) -> Iterator[dict[str, Any]]:
    """The cells of each row of an image."""
    if task.has_objects:
        yield from _objects(item) if item.labels is not None and len(item.labels) else iter([{}])
    elif task is Task.SEMANTIC_SEGMENTATION:
        for label, share in class_shares(item).items():
            yield {"label": label, "share": f"{share:.6g}"}
    elif item.is_anomalous is not None:
        yield {"label": "anomalous" if item.is_anomalous else "normal", "score": f"{item.anomaly_score:.6g}"}
    else:
        labels = [] if item.labels is None else item.labels.tolist()
        scores = [] if item.scores is None else item.scores.tolist()
        yield {
            "label": _SEPARATOR.join(item.name_of(label) for label in labels),
            "score": _SEPARATOR.join(f"{score:.6g}" for score in scores),
        }


def _objects(item: Prediction) -> Iterator[dict[str, Any]]:
    assert item.labels is not None
    for index, label in enumerate(item.labels):
        row: dict[str, Any] = {"label": item.name_of(label)}
        if item.scores is not None:
            row["score"] = f"{item.scores[index]:.6g}"
        row |= _cells(_BOX, _box(item, index))
        if item.corners is not None:
            row |= _cells(_CORNERS, item.corners[index])
        if item.track_ids is not None and item.track_ids[index] >= 0:
            row["track"] = int(item.track_ids[index])
        yield row


def _box(item: Prediction, index: int) -> Any:
    """The box of an object, or the smallest one around its corners, mask or keypoints."""
    if item.boxes is not None:
        return item.boxes[index]
    if item.corners is not None:
        points = item.corners[index]
    elif item.keypoints is not None:
        points = item.keypoints[index, :, :2]
    else:
        assert item.masks is not None
        return box_of(encode_mask(item.masks[index]))
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _cells(names: Sequence[str], values: Any) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in zip(names, np.asarray(values).reshape(-1), strict=True)}
