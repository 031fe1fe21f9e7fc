"""The test images with the worst answers of compared models, drawn with the truth and each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine.shown_examples import LOOKED_AT, spread_rows
from drivetrain.errors import DataError

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.types import Predictions
    from drivetrain.types.comparison import ComparedModel, Comparison

#: The maximum number of images to show, of those that are examined, and of models.
_SHOWN, _MOST_MODELS = 6, 6

#: A caption, and ``(H, W, 3) uint8`` pictures with titles, the truth first.
HardImage = tuple[str, list[tuple[str, NDArray[np.uint8]]]]


def hard_images(comparison: Comparison, test_data: Dataset) -> Iterator[HardImage]:
    """The images with the lowest mean quality over the models, the worst first.

    Only the best-ranked artefacts in full precision are used.
    """
    rows = [row for row in comparison.ranked if row.artifact and "int8" not in row.precision][:_MOST_MODELS]
    if not rows or not len(test_data):
        return
    samples = test_data.select(spread_rows(len(test_data), LOOKED_AT))
    answers = [_answers(row, samples) for row in rows]
    qualities = np.stack([_qualities(found, samples) for found in answers])
    for number in np.argsort(qualities.mean(axis=0), kind="stable")[:_SHOWN].tolist():
        yield _drawn(number, rows, answers, qualities[:, number], samples)


def _answers(row: ComparedModel, samples: Dataset) -> Predictions:
    from drivetrain.runtime import load

    return load(row.artifact).predict(list(samples.paths), strict=True)


def _qualities(answers: Predictions, samples: Dataset) -> NDArray[np.float64]:
    """``(N,)``."""
    from drivetrain.metrics.per_image import image_quality
    from drivetrain.types import Task

    truth = samples if answers.task is Task.ANOMALY else samples.relabel(answers.label_names)
    found = [
        image_quality(sample, answer, answers.task, truth.label_names)
        for sample, answer in zip(truth, answers, strict=True)
    ]
    return np.asarray(found, np.float64)


def _drawn(
    number: int,
    rows: Sequence[ComparedModel],
    answers: Sequence[Predictions],
    qualities: NDArray[np.float64],
    samples: Dataset,
) -> HardImage:
    from drivetrain.images.read import read_image
    from drivetrain.report.annotated import annotation_of
    from drivetrain.report.drawing import draw

    sample = samples[number]
    pixels = read_image(sample.path)
    pictures = []
    try:
        pictures.append(("truth", draw(pixels, annotation_of(sample, samples.label_names))))
    except DataError as error:
        pictures.append((f"truth: {error}", pixels))
    for row, found, quality in zip(rows, answers, qualities, strict=True):
        pictures.append((f"{row.name} ({quality:.2f})", draw(pixels, found[number])))
    return Path(sample.path).name, pictures
