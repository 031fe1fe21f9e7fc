"""Images that a model answered worst and best, drawn beside their truth, and images of the data, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.object_boxes import with_objects

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.report.measured import PageExample
    from drivetrain.types import Prediction, Predictions, Sample

#: Images whose quality is computed, evenly spread, and of these the ones that are shown.
LOOKED_AT = 200
_WORST, _BEST, _OF_THE_DATA = 6, 3, 6
_WIDTH = 320
_PERFECT = 0.9995


def examples_of(
    samples: Dataset | Sequence[Sample], answers: Predictions, *, label_names: Sequence[str], confidence: float
) -> list[PageExample]:
    """The images that were answered worst and best, the worst first.

    Args:
        samples: the truth, with the label names of the answers.
        answers: about these images, including those with low scores.
        label_names: the name of each label.
        confidence: objects with a lower score are not drawn.
    """
    from drivetrain.metrics.per_image import image_quality

    by_path = {answer.path: answer for answer in answers}
    found: list[tuple[float, Sample, Prediction]] = []
    for row in spread_rows(len(samples), LOOKED_AT):
        sample = samples[row]
        answer = by_path.get(sample.path)
        if answer is None:
            continue
        try:
            found.append((image_quality(sample, answer, answers.task, label_names), sample, answer))
        except DataError:  # an annotation that cannot be judged on its own is no example
            continue
    found.sort(key=lambda item: item[0])
    worst = [item for item in found[:_WORST] if item[0] < _PERFECT]
    best = found[max(len(worst), len(found) - _BEST) :][::-1]
    kinds = [*((item, "worst") for item in worst), *((item, "best") for item in best)]
    return [_example(*item, kind, label_names, confidence) for item, kind in kinds]


def examples_of_data(dataset: Dataset) -> list[PageExample]:
    """A few images of every subset and label with their annotations."""
    from drivetrain.data.examples import example_rows
    from drivetrain.report.measured import PageExample
    from drivetrain.types.summary import truth_in_words

    found = []
    for sample in dataset.select(example_rows(dataset, _OF_THE_DATA).tolist()):
        said = truth_in_words(sample, dataset.label_names) if dataset.is_annotated else ""
        pictures = tuple(_truth(sample, dataset.label_names, any_kind=True))
        found.append(PageExample(Path(sample.path).name, "data", (f"{sample.subset} {said}".strip(),), pictures))
    return found


def spread_rows(count: int, most: int) -> list[int]:
    """At most ``most`` numbers below ``count``, evenly spaced."""
    rows: NDArray[np.int64] = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
    return rows.tolist() if count else []


def _example(
    quality: float, sample: Sample, answer: Prediction, kind: str, label_names: Sequence[str], confidence: float
) -> PageExample:
    from drivetrain.report.measured import PageExample
    from drivetrain.types.summary import summary_of, truth_in_words

    shown = confident(answer, confidence)
    is_map = sample.mask_path is not None and sample.anomalous is None
    lines = [] if is_map else [f"truth: {truth_in_words(sample, label_names)}", f"answer: {summary_of(shown)}"]
    if is_map or sample.boxes is not None:
        lines.append(f"agreement {quality:.2f}")
    pictures = [*_truth(sample, label_names), *_drawn("answer", sample.path, shown)]
    return PageExample(Path(sample.path).name, kind, tuple(lines), tuple(pictures))


def _truth(sample: Sample, label_names: Sequence[str], *, any_kind: bool = False) -> Iterator[tuple[str, str]]:
    """The image with its annotations, unless these are only labels that are said in words beside the answer."""
    from drivetrain.report.annotated import annotation_of

    try:
        truth = annotation_of(sample, label_names)
    except DataError as error:
        yield from _drawn(f"truth: {error}", sample.path, None)
        return
    if any_kind or any(part is not None for part in (truth.boxes, truth.class_map, truth.anomaly_mask, truth.corners)):
        yield from _drawn("truth", sample.path, truth)


def _drawn(title: str, path: str, shown: Prediction | None) -> Iterator[tuple[str, str]]:
    from drivetrain.images.frames import shared_reader
    from drivetrain.report._html import small_picture
    from drivetrain.report.drawing import draw

    pixels = shared_reader().read(path)
    yield title, small_picture(pixels if shown is None else draw(pixels, shown), _WIDTH)


def confident(answer: Prediction, least: float) -> Prediction:
    """An answer without the objects that have a lower score."""
    has_objects = any(part is not None for part in (answer.boxes, answer.masks, answer.keypoints, answer.corners))
    if answer.scores is None or not has_objects:
        return answer
    return with_objects(answer, answer.scores >= least)
