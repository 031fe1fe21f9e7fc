"""The batch size that fits, and the fastest one that does, measured by short trainings with any engine."""

from __future__ import annotations

from drivetrain.batch_size.choose import Chosen, choose

__all__ = ["Chosen", "choose"]
