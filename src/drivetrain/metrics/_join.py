"""Joining the samples and predictions of the same images by path."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from drivetrain.errors import DataError
from drivetrain.types import Prediction, Predictions, Sample


class Join:
    """An iterable of ``(sample, prediction)`` in the order of the samples; it can be read only once.

    Args:
        samples: the annotated images; read once, one at a time.
        predictions: the predictions.
        label_names: the label names of the samples.
        by_label: whether label numbers are compared, so that the label names of both sides must agree.

    Attributes:
        count: number of pairs so far.
        skipped: ``(path, reason)`` of the samples so far that have no prediction because they could not be read.

    Raises:
        DataError: the label names differ, or a path occurs twice among the predictions. While iterating: a sample
            occurs twice or has no prediction, a prediction has no sample, or there is nothing to evaluate.
    """

    def __init__(
        self, samples: Iterable[Sample], predictions: Predictions, *, label_names: Sequence[str], by_label: bool
    ) -> None:
        self._samples = samples
        self._waiting: dict[str, Prediction] = {}
        for prediction in predictions:
            key = _key(prediction.path)
            if key in self._waiting:
                raise DataError(f"two predictions for the same image {prediction.path!r}; give one for each image.")
            self._waiting[key] = prediction
        self._reasons = {_key(path): reason for path, reason in predictions.skipped}
        self._numbers = _renumbering(predictions.label_names, label_names) if by_label else None
        self.count = 0
        self.skipped: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[Sample, Prediction]]:
        seen: set[str] = set()
        missing: list[str] = []
        for sample in self._samples:
            key = _key(sample.path)
            if key in seen:
                raise DataError(f"the image {sample.path!r} occurs twice among the samples; give each image once.")
            seen.add(key)
            prediction = self._waiting.pop(key, None)
            if prediction is not None:
                self.count += 1
                yield sample, self._renumbered(prediction)
            elif key in self._reasons:
                self.skipped.append((sample.path, self._reasons[key]))
            else:
                missing.append(sample.path)
        self._finish(missing)

    def _finish(self, missing: list[str]) -> None:
        if missing:
            raise DataError(f"{len(missing)} images have no prediction, the first is {missing[0]!r}.")
        if self._waiting:
            first = next(iter(self._waiting.values())).path
            raise DataError(f"{len(self._waiting)} predictions have no sample, the first is {first!r}.")
        if not self.count:
            reason = f"all {len(self.skipped)} were skipped" if self.skipped else "there are no samples"
            raise DataError(f"no image to evaluate: {reason}.")

    def _renumbered(self, prediction: Prediction) -> Prediction:
        numbers = self._numbers
        if numbers is None:
            return prediction
        labels, probabilities, class_map = prediction.labels, prediction.probabilities, prediction.class_map
        if probabilities is not None:
            reordered = np.empty_like(probabilities)
            reordered[numbers] = probabilities
            probabilities = reordered
        if class_map is not None:
            inside = (class_map >= 0) & (class_map < len(numbers))
            class_map = np.where(inside, numbers[np.where(inside, class_map, 0)], class_map)
        return replace(
            prediction,
            labels=None if labels is None else numbers[labels],
            probabilities=probabilities,
            class_map=class_map,
        )


def _key(path: str) -> str:
    return os.path.abspath(path) if path else path  # noqa: PTH100  (pathlib is ten times slower, on every image)


def _renumbering(theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Our number for each of their labels, or ``None`` if both are numbered alike (or theirs have no names)."""
    if not theirs or tuple(theirs) == tuple(ours):
        return None
    if sorted(theirs) != sorted(ours) or len(set(ours)) != len(ours):
        unknown = sorted(set(theirs) - set(ours))
        absent = sorted(set(ours) - set(theirs))
        raise DataError(
            f"the predictions have {len(theirs)} labels and the samples {len(ours)}, and they differ: only in the "
            f"predictions {_some(unknown)}; only in the samples {_some(absent)}. Give both the same label names."
        )
    numbers = {name: number for number, name in enumerate(ours)}
    return np.array([numbers[name] for name in theirs], np.int64)


def _some(names: list[str], most: int = 5) -> str:
    listed = ", ".join(repr(name) for name in names[:most]) or "none"
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
