"""Batch normalisation in short trainings from random weights."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from torch import nn

_USUAL = 0.1
_ROUNDS = 30  # the averages should be renewed about so often in a training


def quicken(net: nn.Module, steps: int) -> list[str]:
    """Let the running averages of a new network follow quickly enough for the steps that there are.

    Networks that were designed for hundreds of epochs keep averages that hardly move in a few hundred steps, and answer
    in evaluation by what their random weights once gave.

    Args:
        net: with random weights; changed in place, never to follow more slowly than before.
        steps: of the whole training.

    Returns:
        A note for the user, if something was changed.
    """
    wanted = min(_USUAL, _ROUNDS / max(1, steps))
    slow = [
        module
        for module in net.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)
        and module.momentum is not None
        and module.momentum < wanted
    ]
    if not slow:
        return []
    before = min(float(module.momentum or 0.0) for module in slow)
    for module in slow:
        module.momentum = wanted
    return [
        f"Batch normalisation: its averages follow with the momentum {wanted:.2g} in place of {before:.2g}, since this "
        f"training from random weights has {steps} steps only."
    ]
