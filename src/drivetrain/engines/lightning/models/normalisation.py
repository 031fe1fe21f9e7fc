"""Batch normalisation in short trainings from random weights."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from torch import nn

_USUAL = 0.1
_ROUNDS = 30  # how often the averages should be renewed in a training, roughly


def quicken(net: nn.Module, steps: int) -> list[str]:
    """Make the running averages of a new network follow quickly enough for the number of steps.

    Networks designed for hundreds of epochs keep averages that hardly move within a few hundred steps, so that in
    evaluation they still reflect the random initial weights.

    Args:
        net: with random weights; modified in place, never to follow more slowly than before.
        steps: the number of steps of the whole training.

    Returns:
        A note for the user if something was changed.
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
        f"Batch normalisation: the averages use a momentum of {wanted:.2g} instead of {before:.2g}, because this "
        f"training from random weights has only {steps} steps."
    ]
