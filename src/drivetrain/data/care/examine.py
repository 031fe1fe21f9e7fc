"""Every search for problems in a data set, in one pass over its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.care import descriptors, duplicates
from drivetrain.data.care.label_errors import (
    FEWEST_AGREEING,
    VOTERS,
    Suspects,
    agreement,
    doubted,
    doubted_sets,
    outvoted,
    votes_of,
)
from drivetrain.data.care.neighbours import Neighbours, nearest, reduced
from drivetrain.data.care.object_errors import object_errors
from drivetrain.data.care.odd_pictures import METHODS, odd_pictures, outliers
from drivetrain.data.care.pictures import Pictures, look_at_pictures
from drivetrain.data.table import list_lengths, list_values
from drivetrain.data.validation import validated
from drivetrain.errors import OptionError
from drivetrain.types import Task
from drivetrain.types.data_findings import DataFinding, DataFindings
from drivetrain.types.task import ANOMALY_LABELS

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.types import Predictions

#: The maximum number of objects described one by one; if there are more, those on the first images.
MOST_OBJECTS = 200_000
_FEWEST = 20
_BY_MODEL = "confident learning from the model's answers, on images that it was not trained on"
_BY_NEIGHBOURS = "the labels of the 10 nearest neighbours by {method}, of which 60 % must agree"


@dataclass(slots=True, eq=False)
class _Look:
    """What is known while a data set is examined.

    Attributes:
        data: each file once.
        pictures: the decoded pictures of its images.
        paths: the paths of its images.
        subsets: the subsets of its images.
        learned: ``(N,)`` whether the model that answers was trained on the image.
        methods: what was searched for -> how.
        not_checked: what was not searched for -> why.
        notes: on the findings.
    """

    data: Dataset
    pictures: Pictures
    paths: tuple[str, ...]
    subsets: list[str]
    learned: NDArray[np.bool_]
    methods: dict[str, str] = field(default_factory=dict)
    not_checked: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def examine(
    data: Dataset,
    *,
    predictions: Predictions | None = None,
    learned: NDArray[np.bool_] | None = None,
    embeddings: NDArray[np.float32] | None = None,
    features: NDArray[np.float32] | None = None,
    workers: int | None = None,
    step: Callable[[int], None] | None = None,
) -> DataFindings:
    """Search for problems that are likely to spoil a training or an evaluation.

    Args:
        data: the data set.
        predictions: a model's answers about its images, including objects with low scores.
        learned: ``(N,)`` whether the model was trained on an image; its answers there repeat wrong labels.
        embeddings: ``(N, D)``, one row per image, for neighbours and outliers; by default small descriptors of the
            pictures themselves.
        features: ``(N, D)``, one row per image from the answering model, for outliers only: a model that has learned a
            wrong label puts the image close to others of that label.
        workers: decoding threads; by default one per core.
        step: called with the number of pictures processed since the last call.

    Raises:
        OptionError: the number of embeddings differs from the number of images.
    """
    if embeddings is not None and len(embeddings) != len(data):
        raise OptionError(f"embeddings has {len(embeddings)} rows; it needs one for each of the {len(data)} images.")
    rows = np.array(list({path: row for row, path in reversed(list(enumerate(data.paths)))}.values())[::-1], np.int64)
    once = data if len(rows) == len(data) else data.select(rows)
    pictures = look_at_pictures(once.paths, _boxes_of(once), workers=workers, step=step)
    used = np.zeros(len(data), np.bool_) if learned is None else learned
    look = _Look(once, pictures, once.paths, [str(name) for name in once.subset_names], used[rows])
    annotations = validated(data)
    look.methods |= annotations.methods
    items = [*annotations, *_of_pictures(look)]
    given = [None if table is None else table[rows] for table in (embeddings, features)]
    items += _of_labels(look, predictions, *given)
    return DataFindings.of(
        items,
        source=data.source,
        images=len(data),
        methods=look.methods,
        not_checked=look.not_checked,
        notes=tuple(look.notes),
        statistics=data.describe(),
    )


def _boxes_of(data: Dataset) -> list[NDArray[np.float32]] | None:
    """The boxes of each image, from the columns; none beyond the maximum number of described objects."""
    if not data.task.has_objects:
        return None
    counts = np.maximum(list_lengths(data.table, "boxes"), 0) // 4
    boxes = list_values(data.table, "boxes").reshape(-1, 4)
    kept = np.where(np.cumsum(counts) <= MOST_OBJECTS, counts, 0)
    starts = np.cumsum(counts) - counts
    return [boxes[start : start + count] for start, count in zip(starts.tolist(), kept.tolist(), strict=True)]


def _of_pictures(look: _Look) -> Iterator[DataFinding]:
    for row, reason in enumerate(look.pictures.reasons):
        if reason:
            yield DataFinding("unreadable", reason, look.paths[row], look.subsets[row])
    look.methods |= {"copies": duplicates.METHOD, "odd pictures": METHODS["odd pictures"]}
    yield from duplicates.copies(look.paths, look.subsets, _label_of_each(look.data), look.pictures)
    yield from odd_pictures(look.paths, look.subsets, look.pictures)


def _label_of_each(data: Dataset) -> list[str]:
    """The label of each image of a classification data set; ``""`` for other tasks."""
    if data.task is not Task.CLASSIFICATION:
        return [""] * len(data)
    return [data.label_names[label] if label >= 0 else "" for label in data.image_labels.tolist()]


def _of_labels(
    look: _Look,
    predictions: Predictions | None,
    embeddings: NDArray[np.float32] | None,
    features: NDArray[np.float32] | None,
) -> list[DataFinding]:
    """Outliers and probable label errors, by neighbours and by the model."""
    rows = np.flatnonzero(look.pictures.readable)
    if look.data.task is Task.ANOMALY:
        rows = rows[look.data.anomalous[rows] != 1]
    method = descriptors.METHOD if embeddings is None else "the embeddings that were given"
    described = look.pictures.descriptors if embeddings is None else embeddings
    neighbours = nearest(reduced(described[rows]), VOTERS)
    items: list[DataFinding] = []
    if len(rows) < _FEWEST:
        look.not_checked["outliers"] = f"there are only {len(rows)} images to compare"
    else:
        by = method if features is None else "the model's features of each image"
        look.methods["outliers"] = f"{METHODS['outliers']}, by {by}"
        near = neighbours if features is None else nearest(reduced(features[rows]), VOTERS)
        items += outliers(look.paths, look.subsets, rows, near)
    if predictions is not None:
        items += _by_model(look, predictions)
    return items + list(_by_neighbours(look, predictions is not None, rows, neighbours, method))


def _by_neighbours(
    look: _Look, has_model: bool, rows: NDArray[np.int64], neighbours: Neighbours, method: str
) -> Iterator[DataFinding]:
    """Probable label errors of images with one label each, where no model gives more evidence."""
    task = look.data.task
    if task is Task.CLASSIFICATION:
        unasked = look.learned[rows] if has_model else np.ones(len(rows), np.bool_)
        if not unasked.any():
            return
        what = "labels of images that the model was trained on" if has_model else "labels"
        suspects = _outvoted(look, what, neighbours, look.data.image_labels[rows], method)
        kept = [index for index, row in enumerate(suspects.rows) if unasked[row]]
        for index in kept:
            row = int(rows[suspects.rows[index]])
            yield _finding(look, row, suspects, index, "Of its nearest neighbours {:.0%} are {!r} and {:.0%} {!r}.")
    elif task.has_objects and not has_model:
        yield from _objects_by_neighbours(look)
    elif not has_model:
        look.not_checked["labels"] = f"for {task.value} they need the answers of a model, and none was given"


def _objects_by_neighbours(look: _Look) -> Iterator[DataFinding]:
    data = look.data
    counts = np.maximum(list_lengths(data.table, "box_labels"), 0)
    rows = np.repeat(np.arange(len(data)), counts)
    boxes, labels = list_values(data.table, "boxes").reshape(-1, 4), list_values(data.table, "box_labels")
    described = np.cumsum(counts)[rows] <= MOST_OBJECTS if len(rows) else np.zeros(0, np.bool_)
    seen = np.zeros(len(rows), np.bool_)
    seen[described] = look.pictures.objects.any(axis=1)
    if described.sum() < len(rows):
        look.notes.append(f"The labels of the first {int(described.sum())} of {len(rows)} objects were looked at.")
    features = look.pictures.objects[seen[described]]
    chosen = np.flatnonzero(seen)
    look.not_checked["missing objects"] = "they need the answers of a model, and none was given"
    neighbours = nearest(reduced(features), VOTERS)
    suspects = _outvoted(look, "labels of objects", neighbours, labels[chosen], descriptors.METHOD)
    for index, place in enumerate(suspects.rows.tolist()):
        item = int(chosen[place])
        x1, y1, x2, y2 = (float(value) for value in boxes[item])
        phrase = "Of the objects that look most like it {:.0%} are {!r} and {:.0%} {!r}."
        yield _finding(look, int(rows[item]), suspects, index, phrase, (x1, y1, x2, y2))


def _outvoted(look: _Look, what: str, neighbours: Neighbours, labels: NDArray[np.int64], method: str) -> Suspects:
    """The labels that the neighbours contradict, if they agree with most of the others."""
    if len(labels) < _FEWEST or len(np.unique(labels[labels >= 0])) < 2:
        look.not_checked[what] = "there are too few, or all have the same label"
        return Suspects.none()
    votes = votes_of(neighbours, labels, len(look.data.label_names))
    agreed = agreement(votes, labels)
    if agreed < FEWEST_AGREEING:
        look.not_checked[what] = (
            f"the nearest neighbours by {method} agree with {agreed:.0%} of the labels only, too few to judge by; a "
            "model that was trained on other images can"
        )
        return Suspects.none()
    look.methods[what] = f"{_BY_NEIGHBOURS.format(method=method)}; they agree with {agreed:.0%} of the labels"
    return outvoted(votes, labels)


def _finding(
    look: _Look,
    row: int,
    suspects: Suspects,
    index: int,
    phrase: str,
    box: tuple[float, float, float, float] | None = None,
) -> DataFinding:
    names, score = look.data.label_names, float(suspects.scores[index])
    given, suggested = int(suspects.given[index]), int(suspects.suggested[index])
    kind = "missing_label" if given < 0 else "spurious_label" if suggested < 0 else "wrong_label"
    own, better = names[given] if given >= 0 else "", names[suggested] if suggested >= 0 else ""
    first, second = (float(share) for share in suspects.shares[index])
    if kind == "wrong_label":
        reason = phrase.format(second, better, first, own)
    else:
        reason = f"The model gives {(better or own)!r} the probability {first:.2f}."
    return DataFinding(kind, reason, look.paths[row], look.subsets[row], score, own, better, box)


def _by_model(look: _Look, predictions: Predictions) -> list[DataFinding]:
    task, names = look.data.task, look.data.label_names
    if look.learned.any():
        look.notes.append(
            f"The model was trained on {int(look.learned.sum())} of the {len(look.data)} images. For these it may "
            "repeat wrong labels that it has learned; the models of a k-fold can be asked about images that they "
            "have never seen."
        )
    if task.has_objects:
        look.methods["objects"] = "the answers of the model, compared by their overlap with the annotated boxes"
        samples = {sample.path: sample for sample in look.data}
        return list(object_errors(samples, predictions, names))
    if task not in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION, Task.ANOMALY):
        look.not_checked["labels"] = f"those of {task.value} are not compared with the answers of a model"
        return []
    look.methods["labels"] = _BY_MODEL
    if task is Task.ANOMALY:
        return list(_anomalies(look, predictions))
    probabilities = _probabilities(look, predictions)
    if task is Task.CLASSIFICATION:
        probabilities[look.learned] = np.nan
        suspects = doubted(probabilities, look.data.image_labels)
    else:
        suspects = doubted_sets(probabilities, look.data.label_matrix)
    phrase = "The model gives {1!r} the probability {0:.2f} and {3!r} {2:.2f}."
    return [_finding(look, int(row), suspects, index, phrase) for index, row in enumerate(suspects.rows)]


def _probabilities(look: _Look, predictions: Predictions) -> NDArray[np.float32]:
    """``(N, C)`` by the labels of the data; NaN where there is no answer, 0 for labels that the model lacks."""
    places = {path: row for row, path in enumerate(look.paths)}
    columns = [
        predictions.label_names.index(name) if name in predictions.label_names else -1 for name in look.data.label_names
    ]
    lacking = [name for name, column in zip(look.data.label_names, columns, strict=True) if column < 0]
    if lacking:
        look.notes.append(f"The model does not know {', '.join(map(repr, lacking[:5]))}: it always contradicts them.")
    table = np.full((len(look.paths), len(columns)), np.nan, np.float32)
    for item in predictions:
        if item.path in places and item.probabilities is not None:
            padded = np.append(item.probabilities, 0.0)
            table[places[item.path]] = padded[columns]
    return table


def _anomalies(look: _Look, predictions: Predictions) -> Iterator[DataFinding]:
    """Images whose score contradicts the data, by their distance from the threshold."""
    places = {path: row for row, path in enumerate(look.paths)}
    for item in predictions:
        row = places.get(item.path)
        truth = -1 if row is None else int(look.data.anomalous[row])
        if row is None or truth < 0 or item.anomaly_score is None or look.learned[row]:
            continue
        called = int(item.anomaly_score >= 0.5)
        if called != truth:
            ours, theirs = ANOMALY_LABELS[called], ANOMALY_LABELS[truth]
            reason = f"The model calls it {ours} (score {item.anomaly_score:.2f}), the data {theirs}."
            score = min(2 * abs(item.anomaly_score - 0.5), 1.0)
            yield DataFinding("wrong_label", reason, item.path, look.subsets[row], score, theirs, ours)
