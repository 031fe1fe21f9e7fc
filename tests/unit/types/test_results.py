from __future__ import annotations

import pytest

from drivetrain.types.results import lower_is_better


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("val/loss", True),
        ("train/box_loss", True),
        ("val/abs_rel", True),
        ("abs_rel_aligned", True),
        ("latency_ms", True),
        ("val/map_50", False),
        ("image_auroc", False),
        ("val/delta1", False),
        ("reliability", False),
    ],
)
def test_the_words_of_a_metric_say_which_way_is_better(name, lower):
    assert lower_is_better(name) is lower
