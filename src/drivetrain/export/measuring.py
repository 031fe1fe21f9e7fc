"""Measuring the quality, size and speed of an artefact."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from drivetrain.errors import DataError, OptionError, near
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.predictor import Predictor
from drivetrain.runtime.sessions import open_session
from drivetrain.types import Metrics, Predictions, Sample, Task
from drivetrain.types.results import lower_is_better


def answers_of(artifact: Artifact, images: Sequence[Any]) -> Predictions:
    """The answers of an artefact at full precision, including those with low scores."""
    predictor = Predictor(artifact, partial(open_session, artifact, precision="f32"))
    with_threshold = artifact.task.has_objects and predictor.takes_confidence
    return predictor.predict(list(images), confidence=0.0 if with_threshold else None)


def measured(samples: Iterable[Sample], answers: Predictions, task: Task, label_names: Sequence[str]) -> Metrics:
    """The metrics of answers, without warnings about undefined ones."""
    from drivetrain.metrics import evaluate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(samples, answers, task=task, label_names=label_names)


def metrics_that_decide(task: Task, metric: str | None) -> tuple[str, ...]:
    """The metrics that an artefact must keep: the given one, else the task's own; for anomalies also the decisions."""
    if metric is not None:
        return (metric,)
    return (task.main_metric, "image_f1") if task is Task.ANOMALY else (task.main_metric,)


def require_metrics(names: Sequence[str], metrics: Metrics) -> None:
    """Refuse metrics that are not measured.

    Raises:
        OptionError: there is no such metric.
    """
    for name in names:
        if name not in metrics:
            raise OptionError(f"metric={name!r} is not measured.{near(name, metrics)} Measured: {', '.join(metrics)}.")


def check_metrics(names: Sequence[str], metrics: Metrics, subset: str) -> None:
    """Refuse metrics that are not measured, or undefined on these images.

    Raises:
        OptionError: there is no such metric.
        DataError: it is undefined on these images.
    """
    require_metrics(names, metrics)
    for name in names:
        if metrics[name] != metrics[name]:
            raise DataError(
                f"{name} is undefined on the {metrics.count} images of subset={subset!r}, so nothing can be compared "
                "by it. Give another metric=... or subset=..."
            )


def largest_drop(names: Sequence[str], before: Metrics, after: Metrics) -> float:
    """The largest drop among these metrics; negative if all improved, infinite if one is now undefined."""
    drops = []
    for name in names:
        difference = after[name] - before[name] if lower_is_better(name) else before[name] - after[name]
        drops.append(difference if difference == difference else float("inf"))
    return max(drops)
