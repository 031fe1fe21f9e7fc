"""Metrics of images with one label or with any number of labels, equal to scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.metrics._outcome import Evaluation, Pairs
from drivetrain.metrics._ranking import RECALLS, average_precision, precision_curve, rounded
from drivetrain.types import Prediction, Sample

_TOP = 5


def multiclass(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``accuracy``, ``accuracy_top5`` (with more than five labels and given probabilities) and macro ``f1``.

    Per class ``f1``, ``precision`` and ``recall``: NaN where the denominator is 0. The mean of ``f1`` is over
    the labels that occur in truth or prediction. ``tables["confusion_matrix"]`` has a row for each true label and a
    column for each predicted one, in the order of ``tables["label_names"]``.

    Raises:
        DataError: a sample does not have exactly one label, a prediction has none, or a label has no name.
    """
    count = len(label_names)
    truth: list[int] = []
    answers: list[int] = []
    in_top = 0
    ranked = count > _TOP
    for sample, prediction in pairs:
        label = _only_label(sample, count)
        truth.append(label)
        answers.append(_best_label(prediction, count))
        if prediction.probabilities is None:
            ranked = False
        elif ranked:
            _check_length(prediction, count)
            # reversed stable sort: among equal probabilities the higher label number wins, as in scikit-learn
            in_top += label in np.argsort(prediction.probabilities, kind="stable")[::-1][:_TOP]
    matrix = np.bincount(np.array(truth) * count + np.array(answers), minlength=count * count).reshape(count, count)
    hits = np.diag(matrix)
    f1, per_class = _f1(hits, matrix.sum(axis=0), matrix.sum(axis=1), label_names)
    values = {"accuracy": float(hits.sum() / matrix.sum())}
    if ranked:
        values["accuracy_top5"] = in_top / len(truth)
    values["f1"] = f1
    tables = {"confusion_matrix": matrix.tolist(), "label_names": list(label_names)}
    return Evaluation(values, per_class, tables)


def multilabel(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``map`` (mean average precision), macro ``f1`` and ``accuracy`` (share of images with exactly the true labels).

    ``map`` is the mean over the labels that are true for at least one image and ``f1`` the mean over those that occur
    in truth or prediction; the others are NaN in ``per_class``. ``tables["precision_recall"]`` has the curve of each
    label.

    Raises:
        DataError: a prediction has no probabilities, or a label has no name.
    """
    count = len(label_names)
    truth_rows, answer_rows, score_rows = [], [], []
    for sample, prediction in pairs:
        if prediction.probabilities is None:
            raise DataError(f"the prediction for {prediction.path!r} has no probabilities, which map needs.")
        _check_length(prediction, count)
        chosen = np.flatnonzero(prediction.probabilities >= 0.5) if prediction.labels is None else prediction.labels
        truth_rows.append(_indicator(sample.labels, count, sample.path))
        answer_rows.append(_indicator(chosen, count, prediction.path))
        score_rows.append(prediction.probabilities)
    truth, answers, scores = np.stack(truth_rows), np.stack(answer_rows), np.stack(score_rows)
    precisions = [average_precision(truth[:, label], scores[:, label]) for label in range(count)]
    f1, per_class = _f1((truth & answers).sum(axis=0), answers.sum(axis=0), truth.sum(axis=0), label_names)
    values = {
        "map": _mean(np.array(precisions)),
        "f1": f1,
        "accuracy": float((truth == answers).all(axis=1).mean()),
    }
    per_class["map"] = dict(zip(label_names, precisions, strict=True))
    curves = {name: precision_curve(truth[:, label], scores[:, label]) for label, name in enumerate(label_names)}
    tables = {
        "label_names": list(label_names),
        "precision_recall": {
            "recall": rounded(RECALLS),
            "by_class": {name: curve for name, curve in curves.items() if curve},
        },
    }
    undefined = []
    if np.isnan(values["map"]):
        undefined.append("map, because no image has a true label")
    if np.isnan(f1):
        undefined.append("f1, because no label occurs in truth or prediction")
    return Evaluation(values, per_class, tables, undefined)


def _f1(
    hits: NDArray[np.int64], predicted: NDArray[np.int64], true: NDArray[np.int64], label_names: Sequence[str]
) -> tuple[float, dict[str, dict[str, float]]]:
    """The macro F1 and the values of each class."""
    with np.errstate(invalid="ignore"):
        columns = {"f1": 2 * hits / (predicted + true), "precision": hits / predicted, "recall": hits / true}
    per_class = {
        name: dict(zip(label_names, (float(value) for value in column), strict=True))
        for name, column in columns.items()
    }
    return _mean(columns["f1"]), per_class


def _mean(column: NDArray[np.float64]) -> float:
    """The mean of the defined values; NaN if there are none."""
    defined = column[~np.isnan(column)]
    return float(defined.mean()) if defined.size else float("nan")


def _only_label(sample: Sample, count: int) -> int:
    if len(sample.labels) != 1:
        raise DataError(
            f"the image {sample.path!r} has {len(sample.labels)} labels, classification needs exactly one; "
            "for several labels per image use task='multilabel_classification'."
        )
    return _known(int(sample.labels[0]), count, sample.path)


def _best_label(prediction: Prediction, count: int) -> int:
    if prediction.labels is not None and len(prediction.labels):
        return _known(int(prediction.labels[0]), count, prediction.path)
    if prediction.probabilities is not None and len(prediction.probabilities):
        return _known(int(prediction.probabilities.argmax()), count, prediction.path)
    raise DataError(f"the prediction for {prediction.path!r} has neither a label nor probabilities.")


def _known(label: int, count: int, path: str) -> int:
    if not 0 <= label < count:
        raise DataError(f"label {label} of {path!r} has no name; there are {count} label names, for 0..{count - 1}.")
    return label


def _indicator(labels: NDArray[np.int64], count: int, path: str) -> NDArray[np.bool_]:
    row = np.zeros(count, np.bool_)
    for label in labels:
        row[_known(int(label), count, path)] = True
    return row


def _check_length(prediction: Prediction, count: int) -> None:
    if prediction.probabilities is not None and len(prediction.probabilities) != count:
        raise DataError(
            f"the prediction for {prediction.path!r} has {len(prediction.probabilities)} probabilities, "
            f"but there are {count} label names."
        )
