"""Batch normalisation in short trainings from random weights."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

import pytest
from torch import nn

from drivetrain.engines.lightning.models.normalisation import quicken


def _net(momentum: float) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.LayerNorm(4))


@pytest.mark.parametrize(
    ("before", "steps", "after"), [(0.01, 300, 0.1), (0.01, 1000, 0.03), (0.01, 10_000, 0.01), (0.1, 10, 0.1)]
)
def test_averages_are_renewed_often_enough(before: float, steps: int, after: float) -> None:
    net = _net(before)
    notes = quicken(net, steps)
    assert net.get_submodule("1").momentum == pytest.approx(after)
    assert bool(notes) == (after != before)


def test_averages_over_all_batches_stay_so() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4, momentum=None))
    assert quicken(net, 10) == []
    assert net.get_submodule("0").momentum is None
