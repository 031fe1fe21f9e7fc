"""The comparisons of the contract detect what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivetrain.errors import DataError, OptionError
from drivetrain.testing.contract.extremes import fault_of
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


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("batch_size", 0, "batch_size=0 must be at least 1."),
        ("image_size", (32, 2.5), "image_size=2.5 is not allowed."),
        ("callbacks", [3], "callbacks: 3 is not a callback. Give functions."),
        ("hpo_config", {"trials": 0}, "hpo_config: trials=0 must be at least 1."),
        ("engine_args", {"no such": 1}, "engine_args of Net has no option 'no such'. Allowed: none."),
        ("checkpoint", "", "checkpoint='' is empty. Give the path of one."),
    ],
)
def test_an_error_about_an_option_that_says_enough_is_no_fault(option: str, value: Any, said: str) -> None:
    def refuse(value: Any) -> None:
        raise OptionError(said)

    assert fault_of(refuse, option, value, may_pass=False) is None


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OptionError("batch_size must be at least 1."), "does not name the value beside it: "),
        (OptionError("batch_size=0 is wrong."), "does not name what is allowed: "),
        (DataError("No images. Give at least 0."), "does not name the option, the value beside it: "),
        (ValueError("batch_size=0 must be at least 1."), ": ValueError: batch_size=0 must"),
    ],
)
def test_an_error_about_an_option_that_says_too_little_is_a_fault(error: Exception, fault: str) -> None:
    def refuse(value: Any) -> None:
        raise error

    assert fault in str(fault_of(refuse, "batch_size", 0, may_pass=True))


def test_a_wrong_value_that_is_accepted_is_a_fault() -> None:
    assert fault_of(print, "batch_size", 0, may_pass=False) == "batch_size=0 was accepted"
    assert fault_of(print, "batch_size", 1, may_pass=True) is None
