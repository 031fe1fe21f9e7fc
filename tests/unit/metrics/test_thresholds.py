"""Recall and false alarms, and the sensitivity that reaches them."""

from __future__ import annotations

import numpy as np
import pytest

from drivetrain.engine.chosen_sensitivity import with_sensitivities
from drivetrain.metrics import evaluate
from drivetrain.types import Metrics, Prediction, Predictions, Sample

TRUTH = [False] * 10 + [True] * 10
SCORES = [
    0.05,
    0.1,
    0.12,
    0.15,
    0.2,
    0.22,
    0.25,
    0.3,
    0.42,
    0.55,
    0.35,
    0.4,
    0.45,
    0.52,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.9,
]


def measured(truth: list[bool], scores: list[float]) -> Metrics:
    samples = [Sample(f"{n}.png", (4, 4), labels=np.array([int(t)]), anomalous=t) for n, t in enumerate(truth)]
    answers = [Prediction(f"{n}.png", (4, 4), anomaly_score=score) for n, score in enumerate(scores)]
    labels = ("good", "bad")
    return evaluate(
        samples, Predictions(answers, task="anomaly", label_names=labels), task="anomaly", label_names=labels
    )


def test_rows_say_what_each_threshold_finds() -> None:
    rows = measured(TRUTH, SCORES).tables["thresholds"]
    truth, scores = np.array(TRUTH), np.array(SCORES)
    assert [row["scores"][1] for row in rows] == sorted((row["scores"][1] for row in rows), reverse=True)
    for row in rows:
        called = scores >= row["scores"][1]
        assert row["recall"] == pytest.approx((called & truth).sum() / 10)
        assert row["false_alarm_rate"] == pytest.approx((called & ~truth).sum() / 10)
        assert row["precision"] == pytest.approx((called & truth).sum() / called.sum())
        assert (row["missed"], row["false_alarms"]) == ((~called & truth).sum(), (called & ~truth).sum())
    by_aim = {aim: row for row in rows for aim in row["aim"].split(", ")}
    assert by_aim["in use"]["now"]
    assert by_aim["in use"]["recall"] == pytest.approx(0.7)
    assert by_aim["no false alarm"]["recall"] == pytest.approx(0.6)
    assert by_aim["recall 100%"]["false_alarms"] == 2
    assert by_aim["recall 80%"]["scores"] == [0.42, 0.45]


@pytest.mark.parametrize("used", [0.3, 0.5, 0.6])
def test_each_row_names_a_sensitivity_that_does_it(used: float) -> None:
    metrics = with_sensitivities(measured(TRUTH, SCORES), used)
    for row in metrics.tables["thresholds"]:
        value = row["sensitivity"]
        if value is None:
            continue
        called = np.array(SCORES) + (value - used) >= 0.5
        assert (called & np.array(TRUTH)).sum() == 10 * row["recall"], row
        assert (called & ~np.array(TRUTH)).sum() == row["false_alarms"], row
    assert metrics.tables["threshold_advice"].endswith("for 0 missed with 20% false alarms.")


def test_what_no_sensitivity_reaches_is_not_named() -> None:
    metrics = with_sensitivities(measured([False, True, True], [0.3, 0.2, 0.9]), 0.9)
    lowest = metrics.tables["thresholds"][-1]
    assert (lowest["aim"], lowest["sensitivity"]) == (
        "recall 80%, recall 90%, recall 95%, recall 99%, recall 100%",
        None,
    )
    assert "threshold_advice" not in metrics.tables


def test_without_both_kinds_of_images_there_is_no_table() -> None:
    with pytest.warns(UserWarning, match="no image is known to be anomalous"):
        metrics = measured([False, False], [0.1, 0.9])
    assert "thresholds" not in metrics.tables
    assert with_sensitivities(metrics, 0.5) is metrics
