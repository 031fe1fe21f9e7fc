"""Scores at one sensitivity and at another: the order stays, the threshold moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivetrain.errors import ArtifactError
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.postprocess.sensitivity import sensitivity_for, shifted, to_levels, to_scores
from drivetrain.types import ImageSpec

LEVELS = np.concatenate([np.linspace(-60, -1, 60), np.linspace(-1, 2, 301), np.linspace(2, 60, 59)[1:]])


@pytest.mark.parametrize("sensitivity", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_two_levels_become_one_score(sensitivity: float, dtype: Any) -> None:
    levels = np.unique(LEVELS.astype(dtype)) + dtype(sensitivity - 0.5)
    scores = to_scores(levels)
    assert scores.dtype == dtype
    assert (np.diff(scores) > 0).all()
    assert (scores > 0).all()
    assert (scores < 1).all()
    assert np.array_equal(scores >= 0.5, levels >= 0.5)


def test_scores_are_levels_but_at_the_ends() -> None:
    middle = np.linspace(0.02, 0.98, 97)
    assert to_scores(middle) == pytest.approx(middle, abs=1e-12)
    assert to_levels(to_scores(LEVELS)) == pytest.approx(LEVELS, abs=1e-6)
    assert np.isfinite(to_levels(np.array([0.0, 1.0]))).all()


def test_a_sensitivity_is_exchanged_for_another() -> None:
    low, high = to_scores(LEVELS - 0.4), to_scores(LEVELS + 0.3)
    assert shifted(low, 0.1, 0.8) == pytest.approx(high, abs=1e-9)
    assert shifted(high, 0.8, 0.1) == pytest.approx(low, abs=1e-9)
    assert shifted(low, 0.1, 0.1) is low


def test_the_sensitivity_for_a_score_calls_it_anomalous() -> None:
    for score in (0.1, 0.4, 0.6):
        least = sensitivity_for(score, 0.5)
        assert shifted(np.array([score]), 0.5, least + 1e-6)[0] >= 0.5
        assert shifted(np.array([score]), 0.5, least - 1e-6)[0] < 0.5


def answer(outputs: dict[str, Any], **args: Any) -> Any:
    return make_decoder("anomaly", args, (), ImageSpec(8, 8)).decode(outputs, (30, 50), "")


def test_a_decoder_answers_as_a_graph_with_that_sensitivity() -> None:
    levels = np.random.default_rng(0).normal(0.4, 0.5, (1, 1, 8, 8)).astype(np.float32)
    at = {
        value: {
            "pred_score": to_scores(levels.max(axis=(1, 2, 3)) + value - 0.5),
            "anomaly_map": to_scores(levels + np.float32(value - 0.5)),
        }
        for value in (0.2, 0.5, 0.9)
    }
    for made in at:
        found = [answer(at[made], graph_sensitivity=made, sensitivity=value) for value in (0.2, 0.5, 0.9)]
        own = [answer(at[value], graph_sensitivity=value) for value in (0.2, 0.5, 0.9)]
        for ours, theirs in zip(found, own, strict=True):
            assert ours.anomaly_score == pytest.approx(theirs.anomaly_score, abs=1e-4)
            assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() < 1e-3
            assert ours.anomaly_map.dtype == np.float32
        areas = [int(one.anomaly_mask.sum()) for one in found]
        assert areas[0] < areas[1] < areas[2]
        ranks = [np.argsort(one.anomaly_map.ravel(), kind="stable") for one in found]
        levels_of = found[1].anomaly_map.ravel()
        for order in ranks:
            assert (np.diff(levels_of[order]) > -1e-5).all()


@pytest.mark.parametrize("args", [{"sensitivity": 1.5}, {"graph_sensitivity": [0.5, -1.0]}])
def test_a_manifest_with_another_sensitivity_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="must be between 0 and 1"):
        make_decoder("anomaly", args, (), ImageSpec(8, 8))
