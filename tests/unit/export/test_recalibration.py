# ruff: noqa: TID253 - tests use the frameworks outright
"""Threshold and scale of scores after a graph was changed."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest

from drivetrain.export.recalibration import Line, Pairs, levels_of, moved_threshold, recalibrate
from drivetrain.runtime.postprocess.sensitivity import to_scores

NAMES = ("pred_score", "pred_label", "anomaly_map", "pred_mask")


def graph() -> ov.Model:
    """Gives what it is given: a score and a map, with their decisions."""
    ops = ov.opset13
    score = ops.parameter([1], np.float32, name="s")
    places = ops.parameter([1, 1, 2, 3], np.float32, name="m")
    half = ops.constant(np.float32(0.5))
    given = [ops.relu(score), ops.relu(places)]
    outputs = [given[0], ops.greater_equal(given[0], half), given[1], ops.greater_equal(given[1], half)]
    for name, node in zip(NAMES, outputs, strict=True):
        node.output(0).set_names({name})
    return ov.Model([ops.result(node.output(0)) for node in outputs], [score, places])


@pytest.mark.parametrize("sensitivity", [0.5, 0.7])
def test_the_graph_follows_the_lines(sensitivity: float) -> None:
    image, pixel = Line(1.3, -0.2), Line(0.8, 0.15)
    changed = recalibrate(graph(), NAMES, image, pixel, (sensitivity, sensitivity))
    compiled = ov.Core().compile_model(changed, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    levels = np.array([-3.0, 0.0, 0.3, 0.5, 0.9, 4.0])
    maps = to_scores(levels + sensitivity - 0.5).astype(np.float32).reshape(1, 1, 2, 3)
    for level in levels:
        score = to_scores(np.array([level + sensitivity - 0.5])).astype(np.float32)
        found = {name: compiled([score, maps])[name] for name in NAMES}
        new = to_scores(np.array([level * 1.3 - 0.2 + sensitivity - 0.5]))
        assert found["pred_score"] == pytest.approx(new, abs=1e-3)
        assert bool(found["pred_label"][0]) == bool(found["pred_score"][0] >= 0.5)
    new = to_scores(levels * 0.8 + 0.15 + sensitivity - 0.5).reshape(1, 1, 2, 3)
    np.testing.assert_allclose(found["anomaly_map"], new, atol=1e-3)
    np.testing.assert_array_equal(found["pred_mask"], found["anomaly_map"] >= 0.5)


def test_the_line_lays_new_levels_over_the_old_ones() -> None:
    """Few anomalous pixels count as much as many normal ones, whose noise must not flatten the line."""
    rng = np.random.default_rng(0)
    pairs = Pairs()
    for count, level in ((5000, 0.1), (20, 0.7), (20, 1.1)):
        before = rng.normal(level, 0.1, count)
        pairs.add(before, (before - 0.1) / 1.25 + rng.normal(0, 0.05, count))
    line = pairs.line()
    assert line.slope == pytest.approx(1.25, abs=0.1)
    assert line.of(np.array([(0.7 - 0.1) / 1.25])) == pytest.approx(0.7, abs=0.03)


def test_one_level_moves_and_does_not_stretch() -> None:
    pairs = Pairs()
    pairs.add(np.array([0.5]), np.array([0.3]))
    assert pairs.line() == Line(1.0, pytest.approx(0.2))
    assert Pairs().line() == Line()


def test_the_threshold_moves_only_where_decisions_were_lost() -> None:
    truth = [0, 0, 1, 1]
    before = np.array([0.1, 0.4, 0.6, 0.9])
    assert moved_threshold(before, before + 0.05, truth) == 0.0
    worse = np.array([0.1, 0.3, 0.4, 0.9])  # one anomaly is below 0.5 now
    move = moved_threshold(before, worse, truth)
    assert move == pytest.approx(0.15)
    np.testing.assert_array_equal(worse + move >= 0.5, [False, False, True, True])
    assert moved_threshold(before, worse, [-1, -1, -1, -1]) == 0.0, "nothing is known of the images"


def test_levels_do_not_know_the_sensitivity() -> None:
    levels = np.linspace(-0.5, 1.5, 9)
    for sensitivity in (0.3, 0.5, 0.9):
        scores = to_scores(levels + sensitivity - 0.5)
        np.testing.assert_allclose(levels_of(scores, sensitivity), levels, atol=1e-6)
