"""The search for the best options and model arguments, over any engine."""

from __future__ import annotations

from drivetrain.tuning.coordinator import search
from drivetrain.tuning.protocol import Tunable
from drivetrain.tuning.search_options import SearchOptions
from drivetrain.tuning.space import applied

__all__ = ["SearchOptions", "Tunable", "applied", "search"]
