"""The metrics: computed from predictions in one place, whatever framework they come from."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence

from drivetrain.machine.packages import import_object
from drivetrain.metrics._join import Join
from drivetrain.metrics._outcome import Evaluation
from drivetrain.types import Metrics, Predictions, Sample, Task

__all__ = ["evaluate"]

# task -> "module:function", called with the pairs and the label names
_EVALUATORS: dict[Task, str] = {
    Task.CLASSIFICATION: "drivetrain.metrics.classification:multiclass",
    Task.MULTILABEL_CLASSIFICATION: "drivetrain.metrics.classification:multilabel",
    Task.DETECTION: "drivetrain.metrics.detection:boxes",
    Task.INSTANCE_SEGMENTATION: "drivetrain.metrics.detection:instances",
    Task.KEYPOINT_DETECTION: "drivetrain.metrics.detection:keypoints",
    Task.ORIENTED_DETECTION: "drivetrain.metrics.oriented:oriented_boxes",
    Task.SEMANTIC_SEGMENTATION: "drivetrain.metrics.dense:segmentation",
    Task.DEPTH: "drivetrain.metrics.dense:depth",
    Task.ANOMALY: "drivetrain.metrics.anomaly:anomaly",
}


def evaluate(
    samples: Iterable[Sample], predictions: Predictions, *, task: Task | str, label_names: Sequence[str]
) -> Metrics:
    """Compare predictions with the annotations of the same images.

    Samples and predictions are joined by path, so their order does not matter. Images in ``predictions.skipped``
    are omitted and listed in ``tables["skipped"]``. If the predictions have the same label names in a different order,
    they are renumbered by name.

    Args:
        samples: the annotated images; a generator is read once.
        predictions: one answer for each image that was not skipped.
        task: the task of the model; it determines the metrics.
        label_names: the label names of the samples, by number.

    Returns:
        The metrics of the task. Undefined ones are NaN, with one warning that gives the reasons.

    Raises:
        DataError: an image has no prediction, a prediction has no image, a path occurs twice, there is no image at
            all, the label names differ, or an annotation that the task needs is missing or malformed.
        MissingDependencyError: the metric needs an optional package.
    """
    chosen = Task.parse(task)
    names = _distinct(label_names)
    join = Join(samples, predictions, label_names=label_names, by_label=chosen not in (Task.ANOMALY, Task.DEPTH))
    evaluator: Callable[..., Evaluation] = import_object(_EVALUATORS[chosen])
    outcome = evaluator(iter(join), names)
    if outcome.undefined:
        reasons = "; ".join(outcome.undefined)
        warnings.warn(f"Some metrics are undefined (NaN): {reasons}.", stacklevel=_caller_level())
    tables = dict(outcome.tables)
    if join.skipped:
        tables["skipped"] = [list(item) for item in join.skipped]
    return Metrics(outcome.values, per_class=outcome.per_class, tables=tables, count=join.count)


def _distinct(label_names: Sequence[str]) -> tuple[str, ...]:
    """The names, with duplicates numbered so that none hides another in a table."""
    seen: dict[str, int] = {}
    distinct = []
    for name in label_names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(distinct)


def _caller_level() -> int:
    """The stack level of the first caller outside drivetrain, so that a warning points at the user's line."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "drivetrain":
        level, frame = level + 1, frame.f_back
    return level
