"""How well one image was answered, for finding the images that models answer worst."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from drivetrain.metrics import evaluate
from drivetrain.types import Prediction, Predictions, Sample, Task


def image_quality(sample: Sample, answer: Prediction, task: Task, label_names: Sequence[str]) -> float:
    """The quality of an answer, the higher the better.

    Classification: the probability of the true label. Anomaly: how far the score lies on the right side, 0..1. Other
    tasks: their main metric on this image alone; 1 where that is undefined because there is nothing to find and
    nothing was found, and 0 where something was.

    Args:
        sample: the truth.
        answer: with the same label names.
        task: of the model.
        label_names: the name of each label.
    """
    if task is Task.ANOMALY:
        score = float(answer.anomaly_score or 0.0)
        return score if sample.anomalous else 1.0 - score
    if task is Task.CLASSIFICATION and answer.probabilities is not None and len(sample.labels):
        return float(answer.probabilities[sample.labels[0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric that is undefined on one image is nothing to tell
        answers = Predictions([answer], task=task, label_names=label_names)
        found = evaluate([sample], answers, task=task, label_names=label_names)
    value = found.get(task.main_metric, math.nan)
    if math.isnan(value):
        return float(not len(() if answer.labels is None else answer.labels))
    return value
