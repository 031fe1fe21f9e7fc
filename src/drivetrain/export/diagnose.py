"""Diagnosing why an artefact's answers differ from its model's, by trying the usual mistakes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import ImageSpec, ParityReport, Prediction, Predictions
from drivetrain.types.image_spec import ResizeMode

Image = NDArray[np.uint8]
Compare = Callable[[Predictions], ParityReport]
Ask = Callable[[Sequence[Image]], Predictions]

_SAME_ORDER = 0.999
_LEFT = 0.1
_NORMALISATIONS = {
    "none (0..255)": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def likely_cause(
    artifact: Artifact, images: Sequence[Image], expected: Predictions, answers: Predictions, ask: Ask, compare: Compare
) -> str | None:
    """Try the usual mistakes, and return the first that explains the difference.

    Args:
        artifact: the artefact that differs.
        images: ``(H, W, 3) uint8`` RGB.
        expected: the answers of the model.
        answers: the answers of the artefact.
        ask: returns the artefact's answers about other images.
        compare: compares answers with the expected ones.

    Returns:
        A clause such as "red and blue are swapped", or ``None``.
    """
    before = compare(answers)
    if (order := _other_labels(expected, answers)) is not None:
        return order
    if _is_threshold(expected, answers):
        return "its threshold or score normalisation differs: its maps rank the pixels as the model's do"
    for clause, changed in _other_images(artifact.image_spec, images):
        if _explains(compare(_with_paths_of(expected, ask(changed))), before):
            return clause
    return None


def _explains(after: ParityReport, before: ParityReport) -> bool:
    """Whether nearly all of the difference is gone; modified images are rounded to uint8, so some of it may remain."""
    allowed = {
        name: max(before.tolerance[name], _LEFT * value) if np.isfinite(value) else before.tolerance[name]
        for name, value in before.max_difference.items()
    }
    return bool(allowed) and all(after.max_difference.get(name, np.inf) <= limit for name, limit in allowed.items())


def _other_images(spec: ImageSpec, images: Sequence[Image]) -> Iterator[tuple[str, list[Image]]]:
    yield "red and blue are swapped", [np.ascontiguousarray(image[..., ::-1]) for image in images]
    for mode in get_args(ResizeMode):
        if mode != spec.resize:
            other = replace(spec, resize=mode)
            yield (
                f"its images are resized by {spec.resize!r}, the model's by {mode!r}",
                [resize_uint8(image, other) for image in images],
            )
    yield (
        f"its images are not resized to {spec.height} x {spec.width} pixels as its image_spec says",
        [resize_uint8(image, spec) for image in images],
    )
    other = replace(spec, antialias=not spec.antialias)
    word = "with" if other.antialias else "without"
    yield f"the model's images are resized {word} antialiasing", [resize_uint8(image, other) for image in images]
    for name, (mean, std) in _NORMALISATIONS.items():
        if not np.allclose([*mean, *std], [*spec.mean, *spec.std], atol=1e-6):
            yield (
                f"its images are normalised differently; the model's by {name}",
                [_as_if(image, spec, mean, std) for image in images],
            )


def _as_if(image: Image, spec: ImageSpec, mean: Sequence[float], std: Sequence[float]) -> Image:
    """The image for which the artefact's normalisation gives what another one would give for this; rounded to uint8."""
    other = (image / 255 - np.asarray(mean)) / np.asarray(std)
    levels = (other * np.asarray(spec.std) + np.asarray(spec.mean)) * 255
    result: Image = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return result


def _with_paths_of(expected: Predictions, answers: Predictions) -> Predictions:
    """Answers about modified images, with the paths of the original images."""
    changed = [replace(mine, path=theirs.path) for mine, theirs in zip(answers, expected, strict=True)]
    return Predictions(changed, task=answers.task, label_names=answers.label_names)


def _other_labels(expected: Predictions, answers: Predictions) -> str | None:
    """A clause if labels are swapped in the same way on every image, else ``None``."""
    pairs: dict[int, int] = {}
    for ours, theirs in zip(expected, answers, strict=True):
        for label, other in _label_pairs(ours, theirs):
            if pairs.setdefault(label, other) != other:
                return None
    if all(label == other for label, other in pairs.items()) or len(set(pairs.values())) < len(pairs):
        return None
    names = expected.label_names
    told = ", ".join(f"{_name(names, label)} for {_name(names, other)}" for label, other in list(pairs.items())[:3])
    return f"its labels are in a different order ({told})"


def _label_pairs(ours: Prediction, theirs: Prediction) -> Iterator[tuple[int, int]]:
    if ours.probabilities is not None and theirs.probabilities is not None:
        if ours.probabilities.shape == theirs.probabilities.shape:
            first = np.argsort(ours.probabilities, kind="stable")
            second = np.argsort(theirs.probabilities, kind="stable")
            if np.allclose(ours.probabilities[first], theirs.probabilities[second], atol=1e-3):
                yield from zip(first.tolist(), second.tolist(), strict=True)
    elif ours.boxes is not None and theirs.boxes is not None and len(ours.boxes) == len(theirs.boxes):
        assert ours.labels is not None
        assert theirs.labels is not None
        if np.allclose(ours.boxes, theirs.boxes, atol=0.5):
            yield from zip(ours.labels.tolist(), theirs.labels.tolist(), strict=True)


def _name(names: Sequence[str], label: int) -> str:
    return repr(names[label]) if 0 <= label < len(names) else str(label)


def _is_threshold(expected: Predictions, answers: Predictions) -> bool:
    """Whether every anomaly map ranks the pixels correctly, while the numbers differ."""
    maps = [(ours.anomaly_map, theirs.anomaly_map) for ours, theirs in zip(expected, answers, strict=True)]
    return bool(maps) and all(
        ours is not None and theirs is not None and ours.shape == theirs.shape and _ranks_alike(ours, theirs)
        for ours, theirs in maps
    )


def _ranks_alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    inside = (first > first.min()) & (first < first.max()) & (second > second.min()) & (second < second.max())
    if int(inside.sum()) < 2:
        return False
    ranks = [np.argsort(np.argsort(values[inside], kind="stable")) for values in (first, second)]
    return bool(np.corrcoef(ranks[0], ranks[1])[0, 1] >= _SAME_ORDER)
