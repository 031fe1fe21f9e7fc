"""The images of an engine's data for calibrating and evaluating a lighter artefact."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from drivetrain.engine.data import spread
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataError
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.export.optimization import Evidence
    from drivetrain.types import Sample


def find_evidence(engine: EngineState, subset: str, most: int, metric: str | None) -> Evidence:
    """Choose the images, and predict one to make sure that the model can be judged.

    Args:
        engine: an engine with data.
        subset: the subset to evaluate on.
        most: the maximum number of calibration images.
        metric: the metric that will decide; by default the task's own.

    Raises:
        DataError: the subset does not exist, or its images have no known answers.
        OptionError: there is no such metric.
    """
    from drivetrain.export.optimization import Evidence

    samples, label_names = _known(engine, subset)
    if engine.task is Task.ANOMALY and metric is None and not _has_both(samples) and subset == "val":
        others = _known(engine, "test") if "test" in _subsets(engine) else ((), ())
        if _has_both(others[0]):
            engine.progress.note(
                "Validation does not have both normal and anomalous images, so the artefacts are measured on the test "
                "images; the threshold is not chosen by them."
            )
            subset, (samples, label_names) = "test", others
    if not samples:
        raise DataError(f"subset={subset!r} of the data has no images with known answers to measure on.")
    _check_metric(engine, samples[0], label_names, metric)
    parts = ("train", "val") if engine.task is Task.ANOMALY else ("train",)
    found = {part: _paths(engine, part) for part in parts}
    if not any(found.values()):
        found = {subset: [sample.path for sample in samples]}
    found = {part: paths for part, paths in found.items() if paths}
    chosen = _shared(found.values(), most)
    return Evidence(samples, [sample.path for sample in samples], label_names, subset, chosen, " and ".join(found))


def _shared(parts: Collection[Sequence[str]], most: int) -> list[str]:
    """At most ``most`` paths, as many of each part as of the others; what a small part lacks, larger ones add."""
    chosen: list[str] = []
    for done, paths in enumerate(sorted(parts, key=len)):
        share = (most - len(chosen)) // (len(parts) - done)
        chosen += spread(paths, share) if share else []
    return chosen


def _known(engine: EngineState, subset: str) -> tuple[Dataset | Sequence[Sample], tuple[str, ...]]:
    """The samples of a subset, with the labels of the model."""
    if engine.has_native_data:
        return engine.framework.native_samples(engine.data.source, subset) or (), engine.label_names
    dataset = engine.dataset
    if not dataset.is_annotated:
        raise DataError(f"{dataset.source}: its images have no classes and no annotations to measure by.")
    part = dataset.subset(subset)
    if engine.task is not Task.ANOMALY and part.label_names != engine.label_names:
        part = part.relabel(engine.label_names)
    return part, part.label_names


def _subsets(engine: EngineState) -> Sequence[str]:
    """The subsets that the data may have."""
    return ("train", "val", "test") if engine.has_native_data else tuple(engine.dataset.subsets)


def _has_both(samples: Dataset | Sequence[Sample]) -> bool:
    """Whether there are normal and anomalous images."""
    return {True, False} <= {sample.anomalous for sample in samples}


def _paths(engine: EngineState, subset: str) -> list[str]:
    if engine.has_native_data:
        return [sample.path for sample in engine.framework.native_samples(engine.data.source, subset) or ()]
    return list(engine.dataset.subset(subset).paths) if subset in engine.dataset.subsets else []


def _check_metric(engine: EngineState, sample: Sample, label_names: tuple[str, ...], metric: str | None) -> None:
    """Refuse a metric that does not exist, before anything is exported."""
    from drivetrain.export.measuring import measured, metrics_that_decide, require_metrics
    from drivetrain.images.stream import ImageStream

    answers = engine.answer(ImageStream([sample.path]), confidence=0.0)
    names = metrics_that_decide(engine.task, metric)
    require_metrics(names, measured([sample], answers, engine.task, label_names))
