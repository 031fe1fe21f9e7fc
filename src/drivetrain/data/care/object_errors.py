"""Annotated objects that a detector contradicts: missing, spurious, of another class, or with an inaccurate box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.matching import overlaps
from drivetrain.types import Prediction, Sample
from drivetrain.types.data_findings import DataFinding

#: The lowest score of a prediction that counts as a trace of an object.
LOWEST_SCORE = 0.05
_SAME, _APART, _TRACE = 0.5, 0.3, 0.1
_LEAST_SURE, _MOST_SURE = 0.5, 0.9
#: The share of a class that the detector must find for its misses to mean anything.
_FEWEST_FOUND = 0.5


@dataclass(slots=True, eq=False)
class _Compared:
    """The annotations and the detections of one image.

    Attributes:
        sample: an image of the data set.
        boxes: ``(P, 4)`` detected boxes.
        labels: ``(P,)`` their labels as numbered in the data; -1 for labels that the data do not have.
        scores: ``(P,)``.
        overlaps: ``(N, P)`` intersection over union.
    """

    sample: Sample
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    overlaps: NDArray[np.float32]


def object_errors(
    samples: Mapping[str, Sample], predictions: Sequence[Prediction], label_names: Sequence[str]
) -> Iterator[DataFinding]:
    """Yield what a detector's predictions imply about the annotations.

    A prediction of a class is confident from the mean score of the class's found objects (between 0.5 and 0.9).

    Args:
        samples: path -> annotated image.
        predictions: including those with low scores, from a detector that was not trained on the images.
        label_names: the labels of the data.
    """
    images = [_compared(samples[item.path], item, label_names) for item in predictions if item.path in samples]
    sure, found = _habits(images, len(label_names))
    for image in images:
        yield from _of_annotations(image, label_names, sure, found)
        yield from _missing(image, label_names, sure)


def _compared(sample: Sample, answer: Prediction, label_names: Sequence[str]) -> _Compared:
    numbers = {name: number for number, name in enumerate(label_names)}
    boxes = answer.boxes
    if boxes is None and answer.corners is not None:
        boxes = np.concatenate([answer.corners.min(axis=1), answer.corners.max(axis=1)], axis=1)
    count = 0 if boxes is None else len(boxes)
    boxes = np.zeros((0, 4), np.float32) if boxes is None else boxes
    given = [] if answer.labels is None else answer.labels.tolist()
    labels = np.array([numbers.get(answer.name_of(label), -1) for label in given], np.int64)
    scores = np.ones(count, np.float32) if answer.scores is None else answer.scores
    return _Compared(sample, boxes, labels, scores, overlaps(_boxes(sample), boxes).astype(np.float32))


def _boxes(sample: Sample) -> NDArray[np.float32]:
    return np.zeros((0, 4), np.float32) if sample.boxes is None else sample.boxes


def _habits(images: Sequence[_Compared], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per class the score from which the detector is confident, and the share of its objects that it finds."""
    scores: list[list[float]] = [[] for _ in range(count)]
    hits, total = np.zeros(count), np.zeros(count)
    for image in images:
        labels = image.sample.box_labels
        for index, label in enumerate([] if labels is None else labels.tolist()):
            total[label] += 1
            same = (image.overlaps[index] >= _SAME) & (image.labels == label)
            if same.any():
                best = float(image.scores[same].max())
                hits[label] += best >= _LEAST_SURE
                scores[label].append(best)
    sure = np.array([np.clip(np.mean(found), _LEAST_SURE, _MOST_SURE) if found else _MOST_SURE for found in scores])
    return sure, hits / np.maximum(total, 1)


def _of_annotations(
    image: _Compared, label_names: Sequence[str], sure: NDArray[np.float64], found: NDArray[np.float64]
) -> Iterator[DataFinding]:
    sample = image.sample
    labels = np.zeros(0, np.int64) if sample.box_labels is None else sample.box_labels
    crowd = np.zeros(len(labels), np.bool_) if sample.iscrowd is None else sample.iscrowd
    certain = image.scores >= np.where(image.labels >= 0, sure[np.maximum(image.labels, 0)], 2.0)
    for index in np.flatnonzero(~crowd).tolist():
        label, overlap = int(labels[index]), image.overlaps[index]
        name, box = label_names[label], _plain(_boxes(sample)[index])
        same = image.labels == label
        other = (overlap >= _SAME) & ~same & certain
        if same[overlap >= _SAME].any() and not other.any():
            continue
        if other.any() and not (same & (overlap >= _SAME) & (image.scores >= image.scores[other].max() / 2)).any():
            best = int(np.argmax(np.where(other, image.scores, -1)))
            suggested, score = label_names[image.labels[best]], float(image.scores[best])
            reason = f"The model sees {suggested!r} here ({score:.2f}), the data say {name!r}."
            yield DataFinding("wrong_label", reason, sample.path, sample.subset, score, name, suggested, box)
        elif (near := same & certain & (overlap >= _TRACE) & (overlap < _SAME)).any():
            best = int(np.argmax(np.where(near, overlap, -1)))
            reason = f"The box of the model overlaps it by {overlap[best]:.2f} only: {_corners(image.boxes[best])}."
            score = float(image.scores[best] * (1 - overlap[best]))
            yield DataFinding("misplaced_object", reason, sample.path, sample.subset, score, name, name, box)
        elif not (overlap >= _TRACE).any() and found[label] >= _FEWEST_FOUND:
            reason = f"The model finds {found[label]:.0%} of the objects {name!r}, but no trace of this one."
            yield DataFinding("spurious_object", reason, sample.path, sample.subset, float(found[label]), name, box=box)


def _missing(image: _Compared, label_names: Sequence[str], sure: NDArray[np.float64]) -> Iterator[DataFinding]:
    sample = image.sample
    for index, label in enumerate(image.labels.tolist()):
        score = float(image.scores[index])
        if label < 0 or score < sure[label] or (image.overlaps[:, index] >= _APART).any():
            continue
        if _in_a_crowd(image, index) or _is_repeated(image, index):
            continue
        name = label_names[label]
        reason = f"The model sees {name!r} here ({score:.2f}), the data have no object."
        box = _plain(image.boxes[index])
        yield DataFinding("missing_object", reason, sample.path, sample.subset, score, "", name, box)


def _in_a_crowd(image: _Compared, index: int) -> bool:
    """Whether half of the prediction lies in a crowd region, whose objects are not annotated individually."""
    if image.sample.iscrowd is None or not image.sample.iscrowd.any():
        return False
    crowds, box = _boxes(image.sample)[image.sample.iscrowd], image.boxes[index]
    sides = np.minimum(crowds[:, 2:], box[2:]) - np.maximum(crowds[:, :2], box[:2])
    area = max(float((box[2:] - box[:2]).prod()), 1e-9)
    return bool((np.maximum(sides, 0).prod(axis=1) / area >= _SAME).any())


def _is_repeated(image: _Compared, index: int) -> bool:
    """Whether a more confident prediction on the same image covers the same place."""
    surer = image.scores > image.scores[index]
    return bool((overlaps(image.boxes[index : index + 1], image.boxes[surer]) >= _SAME).any())


def _plain(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(value), 2) for value in box)
    return x1, y1, x2, y2


def _corners(box: NDArray[np.float32]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)
