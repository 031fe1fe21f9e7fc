"""A moving average of the weights, which is validated, saved and used in their place."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

_RAW = "drivetrain_raw_weights"


class WeightAverage(lightning.Callback):  # type: ignore[misc]  # the upstream class is untyped here
    """Averages the weights after every step; checkpoints hold the average, and beside it the weights to go on from.

    In the beginning the average follows faster, so that it does not hang on to random weights.

    Args:
        decay: how much of the average stays after a step, above 0 and below 1.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] = {}
        self._seen = -1

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin with the weights as they are, or with the average that a checkpoint brought."""
        if not self.average:
            self.average = _copied(pl_module.state_dict())
        self._seen = trainer.global_step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *unused: Any) -> None:  # noqa: ARG002
        """Move the average towards the weights, where a step was taken."""
        if trainer.global_step == self._seen:
            return
        self._seen = trainer.global_step
        share = 1 - min(self.decay, (1 + self._seen) / (10 + self._seen))
        with torch.no_grad():
            for name, value in pl_module.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, share)
                else:
                    self.average[name].copy_(value)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Validate the average."""
        if not trainer.sanity_checking:
            self._raw = _copied(pl_module.state_dict())
            pl_module.load_state_dict(self.average)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Go on with the weights."""
        if not trainer.sanity_checking:
            pl_module.load_state_dict(self._raw)
            self._raw = {}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Save the average as the weights, and the weights to go on from beside it."""
        checkpoint[_RAW] = checkpoint["state_dict"]
        checkpoint["state_dict"] = _copied(self.average)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Take the average out of a checkpoint, and give the module the weights to go on from."""
        raw = checkpoint.get(_RAW)
        if raw is not None:
            self.average = _copied(checkpoint["state_dict"])
            pl_module.load_state_dict(raw)


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
