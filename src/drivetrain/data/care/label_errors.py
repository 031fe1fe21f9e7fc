"""Probably wrong labels of images and objects: according to their neighbours' labels, or a model's predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.care.neighbours import Neighbours

#: The number of neighbours that vote.
VOTERS = 10
#: The share of the votes from which they overrule a label.
_MAJORITY = 0.6
#: How often the neighbours must agree with the given labels for their votes to count.
FEWEST_AGREEING = 0.7
#: The threshold of a class is never higher: an overconfident model would hide its doubts.
_MOST_SURE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Labels that are probably wrong.

    Attributes:
        rows: ``(S,)`` the images or objects.
        given: ``(S,)`` the label in the data; -1 if one is missing.
        suggested: ``(S,)`` the label that fits better; -1 if the given one should be removed.
        scores: ``(S,)`` 0..1, the confidence.
        shares: ``(S, 2)`` the votes or probabilities of the given and of the suggested label.
    """

    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    suggested: NDArray[np.int64]
    scores: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def none(cls) -> Suspects:
        """No suspects."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing, np.zeros(0), np.zeros((0, 2)))


def votes_of(neighbours: Neighbours, labels: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """``(N, C)`` the share of the neighbours with each label; neighbours without a label do not vote."""
    votes = np.zeros((len(labels), count), np.float32)
    for column in neighbours.rows.T:
        found = labels[column]
        has = np.flatnonzero(found >= 0)
        votes[has, found[has]] += 1
    return np.asarray(votes / np.maximum(votes.sum(axis=1, keepdims=True), 1), np.float32)


def agreement(votes: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """How often most neighbours have the given label, averaged over the labels that occur."""
    known = labels >= 0
    right = votes.argmax(axis=1) == labels
    shares = [right[labels == label].mean() for label in np.unique(labels[known])]
    return float(np.mean(shares)) if shares else 0.0


def outvoted(votes: NDArray[np.float32], labels: NDArray[np.int64]) -> Suspects:
    """Labels that a clear majority of the neighbours contradicts."""
    best = votes.argmax(axis=1)
    rows = np.arange(len(labels))
    flagged = np.flatnonzero((labels >= 0) & (best != labels) & (votes.max(axis=1, initial=0) >= _MAJORITY))
    own = votes[rows, np.maximum(labels, 0)]
    shares = np.stack([own, votes[rows, best]], axis=1)[flagged].astype(np.float64)
    return Suspects(flagged, labels[flagged], best[flagged], shares[:, 1] - shares[:, 0], shares)


def doubted(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Suspects:
    """Labels contradicted by a model's predictions on images it was not trained on (confident learning).

    The threshold of a class is the mean probability that the model assigns to it on the images that have it
    (Northcutt, Jiang, Chuang: Confident Learning, 2021). A label is doubted if another class reaches its threshold.

    Args:
        probabilities: ``(N, C)``; rows of NaN are ignored.
        labels: ``(N,)``, -1 for images without a label.
    """
    answered = ~np.isnan(probabilities).any(axis=1) & (labels >= 0)
    rows = np.flatnonzero(answered)
    answers, given = probabilities[rows].astype(np.float64), labels[rows]
    thresholds = np.array(
        [min(answers[given == label, label].mean(), _MOST_SURE) if (given == label).any() else _MOST_SURE
         for label in range(answers.shape[1])]
    )  # fmt: skip
    sure = np.where(answers >= thresholds, answers, -1.0)
    best = sure.argmax(axis=1)
    places = np.arange(len(rows))
    own = answers[places, given]
    flagged = (sure[places, best] > own) & (best != given)
    shares = np.stack([own, answers[places, best]], axis=1)[flagged]
    return Suspects(rows[flagged], given[flagged], best[flagged], shares[:, 1] - shares[:, 0], shares)


def doubted_sets(probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Suspects:
    """Like :func:`doubted` if an image has any number of labels; each label is judged independently.

    Args:
        probabilities: ``(N, C)`` of each label; rows of NaN are ignored.
        truth: ``(N, C)`` the labels in the data.
    """
    rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    answers, given = probabilities[rows].astype(np.float64), truth[rows]
    with_label, without = given.sum(axis=0), (~given).sum(axis=0)
    high = np.where(with_label > 0, (answers * given).sum(axis=0) / np.maximum(with_label, 1), _MOST_SURE)
    low = np.where(without > 0, (answers * ~given).sum(axis=0) / np.maximum(without, 1), 1 - _MOST_SURE)
    missing = ~given & (answers >= np.clip(high, 0.5, _MOST_SURE))
    spurious = given & (answers <= np.clip(low, 1 - _MOST_SURE, 0.5))
    found = [np.nonzero(missing), np.nonzero(spurious)]
    (row, label), (spare_row, spare) = found
    nothing, nothing_more = np.full(len(row), -1), np.full(len(spare_row), -1)
    sure = np.concatenate([answers[row, label], answers[spare_row, spare]])
    return Suspects(
        np.concatenate([rows[row], rows[spare_row]]),
        np.concatenate([nothing, spare]),
        np.concatenate([label, nothing_more]),
        np.concatenate([answers[row, label], 1 - answers[spare_row, spare]]),
        np.stack([sure, sure], axis=1),
    )
