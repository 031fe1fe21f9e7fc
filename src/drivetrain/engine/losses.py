"""Detecting a diverged training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from drivetrain.errors import DrivetrainError

if TYPE_CHECKING:
    from drivetrain.runs.run import Run


def require_numbers(run: Run, *, has_best: bool) -> None:
    """Note the epoch from which on the losses of a finished training are not finite.

    Args:
        run: the training.
        has_best: whether a best state was saved; engines save none whose loss is NaN.

    Raises:
        DrivetrainError: the losses are not finite in any epoch, and there is no best state.
    """
    losses = {
        record.epoch: [value for name, value in record.metrics.items() if "loss" in name.lower()]
        for record in run.history
    }
    whole = [epoch for epoch, values in losses.items() if all(map(math.isfinite, values))]
    if len(whole) == len(losses) or max(losses) in whole:
        return
    if whole or has_best:
        first = max(whole, default=-1) + 2
        run.note(f"The training diverged: its losses are not finite from epoch {first} on. Lower learning_rate.")
        return
    used = (run.record.get("effective_options") or {}).get("learning_rate", "the default")
    raise DrivetrainError(
        f"The training diverged: no loss was a finite number in any of {len(losses)} epochs, so there is no best "
        f"state. Lower learning_rate (used: {used}), use precision='fp32' if it was different, and look for values "
        "that are not finite in the data."
    )
