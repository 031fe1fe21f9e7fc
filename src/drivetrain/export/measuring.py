"""How good, how large and how fast an artefact is."""

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
    """The answers of an artefact about images at full precision, none of them left out for its low score."""
    predictor = Predictor(artifact, partial(open_session, artifact, precision="f32"))
    with_threshold = artifact.task.has_objects and predictor.takes_confidence
    return predictor.predict(list(images), confidence=0.0 if with_threshold else None)


def measured(samples: Iterable[Sample], answers: Predictions, task: Task, label_names: Sequence[str]) -> Metrics:
    """The metrics of answers, without a word about what is undefined."""
    from drivetrain.metrics import evaluate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(samples, answers, task=task, label_names=label_names)


def metrics_that_decide(task: Task, metric: str | None) -> tuple[str, ...]:
    """What an artefact must not lose: what was asked for, else the task's own; of anomalies the decisions too."""
    if metric is not None:
        return (metric,)
    return (task.main_metric, "image_f1") if task is Task.ANOMALY else (task.main_metric,)


def require_metrics(names: Sequence[str], metrics: Metrics) -> None:
    """Refuse to be judged by what is not measured.

    Raises:
        OptionError: there is no such metric.
    """
    for name in names:
        if name not in metrics:
            raise OptionError(f"metric={name!r} is not measured.{near(name, metrics)} Measured: {', '.join(metrics)}.")


def check_metrics(names: Sequence[str], metrics: Metrics, subset: str) -> None:
    """Refuse to be judged by what is not measured, or cannot be on these images.

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
    """By how much the worst of these metrics got worse; below 0 if all got better, infinite if one is undefined now."""
    drops = []
    for name in names:
        difference = after[name] - before[name] if lower_is_better(name) else before[name] - after[name]
        drops.append(difference if difference == difference else float("inf"))
    return max(drops)
