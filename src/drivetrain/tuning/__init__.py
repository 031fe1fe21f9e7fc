"""The search for the best options and model arguments, for any engine."""

from __future__ import annotations

from drivetrain.tuning.coordinator import search
from drivetrain.tuning.search_options import SearchOptions
from drivetrain.tuning.space import applied
from drivetrain.tuning.subject import SearchSubject

__all__ = ["SearchOptions", "SearchSubject", "applied", "search"]
