"""The comparisons of the contract detect what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivetrain.testing.contract.forms import assert_form, assert_same_predictions
from drivetrain.types import Prediction, Predictions, Task


def boxes(**changes: Any) -> Prediction:
    fields: dict[str, Any] = {
        "labels": np.array([0, 1]),
        "scores": np.array([0.9, 0.4], np.float32),
        "boxes": np.array([[0, 0, 5, 5], [2, 2, 20, 10]], np.float32),
    }
    return Prediction("a.png", (10, 20), **{**fields, **changes})


def test_a_good_prediction_passes() -> None:
    assert_form(boxes(), Task.DETECTION, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([0, 2])},
        {"labels": np.array([0, 1], np.int32)},
        {"scores": np.array([0.4, 0.9], np.float32)},
        {"scores": np.array([1.2, 0.4], np.float32)},
        {"scores": np.array([0.9, 0.4])},
        {"boxes": None},
        {"boxes": np.array([[0, 0, 5, 5], [2, 2, 20, 11]], np.float32)},
        {"boxes": np.array([[5, 0, 0, 5], [2, 2, 20, 10]], np.float32)},
        {"boxes": np.array([[0, 0, np.nan, 5], [2, 2, 20, 10]], np.float32)},
    ],
)
def test_a_bad_prediction_does_not(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_form(boxes(**changes), Task.DETECTION, 2)


def anomaly(flipped: int, score: float = 0.5) -> Predictions:
    mask = np.zeros((20, 20), bool)
    mask.flat[:flipped] = True
    return Predictions(
        [Prediction("a", (20, 20), anomaly_score=score, anomaly_mask=mask)], task=Task.ANOMALY, label_names=()
    )


def test_single_pixels_may_differ_only_where_numbers_are_rounded() -> None:
    assert_same_predictions(anomaly(2), anomaly(0), 2e-3)
    with pytest.raises(AssertionError, match="anomaly_mask of a"):
        assert_same_predictions(anomaly(3), anomaly(0), 2e-3)
    with pytest.raises(AssertionError, match="anomaly_mask of a"):
        assert_same_predictions(anomaly(1), anomaly(0), 1e-5)
    with pytest.raises(AssertionError, match="anomaly_score of a"):
        assert_same_predictions(anomaly(0, 0.51), anomaly(0), 2e-3)
