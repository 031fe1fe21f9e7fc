"""Judging a network during optimisation: its answers, their quality, and how its scores have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.export.compare import distance
from drivetrain.export.measuring import largest_drop, measured
from drivetrain.export.network import Outputs
from drivetrain.export.recalibration import MAP, SCORE, Line, Pairs, levels_of, moved_threshold
from drivetrain.images.stream import ImageStream
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import Decoder, make_decoder
from drivetrain.runtime.postprocess.sensitivity import to_scores
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import Metrics, Prediction, Predictions, Sample, Task
from drivetrain.types.options import NO_SHIFT

_WEIGHT_OF_ORDER = 1e-6
"""The weight of the similarity to the original answers beside the metric: it ranks layers that tie in the metric."""

Ask = Callable[[int], Outputs]


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that has been read and resized for the network.

    Attributes:
        path: of the file.
        size: ``(height, width)`` of the image.
        resized: ``(height, width, 3) uint8``, for the network.
    """

    path: str
    size: tuple[int, int]
    resized: NDArray[np.uint8]


def see(artifact: Artifact, paths: Sequence[str]) -> list[Seen]:
    """Read images for an artefact; unreadable ones are left out.

    Raises:
        DataError: there are none.
    """
    spec = artifact.image_spec
    return [
        Seen(path, (image.shape[0], image.shape[1]), resize_uint8(image, spec)) for path, image in ImageStream(paths)
    ]


class Judge:
    """Measures how much worse a network has become, on images with known answers.

    Args:
        artifact: the original artefact.
        images: the images to judge on.
        samples: the annotations of the images, in the same order.
        label_names: the labels of the samples.
        metrics: the metrics that decide.
        kinds: the kinds of the images, for moving a threshold: 1 for anomalous, 0 for normal, -1 for unknown.
        ask: runs the original network on the image with a given number.
    """

    def __init__(
        self,
        artifact: Artifact,
        images: Sequence[Seen],
        samples: Sequence[Sample],
        label_names: Sequence[str],
        metrics: Sequence[str],
        kinds: Sequence[int],
        ask: Ask,
    ) -> None:
        self._artifact, self._images, self._samples = artifact, images, samples
        self._label_names, self._metrics, self._kinds = label_names, metrics, kinds
        self._decoder = decoder_of(artifact)
        self._outputs = [ask(number) for number in range(len(images))]
        self._before = [self._decode(number, outputs) for number, outputs in enumerate(self._outputs)]
        self._metrics_before = self._measure(range(len(images)), self._before)

    def __call__(self, ask: Ask, numbers: Sequence[int]) -> tuple[float, list[float]]:
        """1 plus the gain of the metrics on some images, and how close each answer is to the original (0 at best)."""
        outputs = {number: ask(number) for number in numbers}
        if self._artifact.task is Task.ANOMALY:
            outputs = self._recalibrated(outputs)
        answers = [self._decode(number, found) for number, found in outputs.items()]
        pairs = zip(numbers, answers, strict=True)
        likeness = [-distance(self._artifact.task, self._before[number], answer) for number, answer in pairs]
        before = self._metrics_before
        if len(numbers) < len(self._images):
            before = self._measure(numbers, [self._before[number] for number in numbers])
        gain = -largest_drop(self._metrics, before, self._measure(numbers, answers))
        gain = max(gain, -1.0)  # a metric that is now undefined counts as the worst
        return 1.0 + gain + _WEIGHT_OF_ORDER * float(np.mean(likeness)), likeness

    def _decode(self, number: int, outputs: Outputs) -> Prediction:
        image = self._images[number]
        return self._decoder.decode(outputs, image.size, image.path)

    def _measure(self, numbers: Iterable[int], answers: Sequence[Prediction]) -> Metrics:
        task, names = self._artifact.task, self._artifact.label_names
        predictions = Predictions(answers, task=task, label_names=names)
        return measured([self._samples[number] for number in numbers], predictions, task, self._label_names)

    def _recalibrated(self, after: dict[int, Outputs]) -> dict[int, Outputs]:
        before = {number: self._outputs[number] for number in after}
        truth = [self._kinds[number] for number in after]
        lines = find_lines(self._artifact, list(before.values()), list(after.values()), truth)
        return {number: _on_lines(self._artifact, outputs, lines) for number, outputs in after.items()}


def decoder_of(artifact: Artifact) -> Decoder:
    """The decoder of an artefact, without a confidence threshold."""
    args = dict(artifact.decoder_args)
    decoder = make_decoder(artifact.decoder, args, artifact.label_names, artifact.image_spec)
    if not (decoder.takes_confidence and artifact.task.has_objects):
        return decoder
    changed = {**args, "confidence_threshold": 0.0}
    return make_decoder(artifact.decoder, changed, artifact.label_names, artifact.image_spec)


def sensitivity_of_graph(artifact: Artifact) -> tuple[float, float]:
    """The sensitivity of image and pixels at which the graph of an anomaly model computes its scores."""
    found = artifact.decoder_args.get("graph_sensitivity", NO_SHIFT)
    return (float(found), float(found)) if isinstance(found, int | float) else (float(found[0]), float(found[1]))


def find_lines(
    artifact: Artifact, before: Sequence[Outputs], after: Sequence[Outputs], anomalous: Sequence[int]
) -> tuple[Line, Line]:
    """Fit the lines from the scores of a changed anomaly model to those at which 0.5 is the threshold.

    Args:
        artifact: the original artefact.
        before: its outputs for some images.
        after: the outputs of the changed network for the same images.
        anomalous: 1 for anomalous images, 0 for normal ones, -1 if unknown.

    Returns:
        The lines for the image score and for the map.
    """
    lines = []
    for name, own in zip((SCORE, MAP), sensitivity_of_graph(artifact), strict=True):
        pairs = Pairs()
        for first, second in zip(before, after, strict=True):
            if name in first:
                pairs.add(levels_of(first[name], own), levels_of(second[name], own))
        lines.append(pairs.line())
    image, pixel = lines
    own = sensitivity_of_graph(artifact)[0]
    levels = [np.concatenate([levels_of(np.ravel(one[SCORE])[:1], own) for one in many]) for many in (before, after)]
    move = moved_threshold(levels[0], np.asarray(image.of(levels[1]), np.float64), anomalous)
    return image.shifted(move), pixel


def _on_lines(artifact: Artifact, outputs: Outputs, lines: tuple[Line, Line]) -> Outputs:
    """Outputs as the recalibrated graph will return them."""
    found = dict(outputs)
    for name, line, own in zip((SCORE, MAP), lines, sensitivity_of_graph(artifact), strict=True):
        if name in found:
            levels = np.asarray(line.of(levels_of(found[name], own)) + (own - NO_SHIFT), np.float64)
            found[name] = to_scores(levels).astype(np.float32)
    return found
