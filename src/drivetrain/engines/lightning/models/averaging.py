"""A moving average of the weights, which is validated, saved and used instead of them."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

_RAW = "drivetrain_raw_weights"


class WeightAverage(lightning.Callback):  # type: ignore[misc]  # the upstream class is untyped here
    """Averages the weights after every step; checkpoints hold the average and the raw weights to resume from.

    The average follows faster at the beginning, so that it does not retain the random initial weights.

    Args:
        decay: the fraction of the average that remains after a step, above 0 and below 1.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] = {}
        self._seen = -1

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Start from the current weights, or the average from a checkpoint."""
        if not self.average:
            self.average = _copied(pl_module.state_dict())
        self._seen = trainer.global_step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *unused: Any) -> None:  # noqa: ARG002
        """Move the average towards the weights after an optimizer step."""
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
        """Restore the raw weights."""
        if not trainer.sanity_checking:
            pl_module.load_state_dict(self._raw)
            self._raw = {}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Save the average as the weights, and the raw weights to resume from."""
        checkpoint[_RAW] = checkpoint["state_dict"]
        checkpoint["state_dict"] = _copied(self.average)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Load the average from a checkpoint, and the raw weights into the module."""
        raw = checkpoint.get(_RAW)
        if raw is not None:
            self.average = _copied(checkpoint["state_dict"])
            pl_module.load_state_dict(raw)


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
