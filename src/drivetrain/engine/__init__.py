"""The engine: the factory over the registry and the one public contract; no framework in it."""

from __future__ import annotations

from drivetrain.engine.base import TASKS_WITH_OBJECTS as TASKS_WITH_OBJECTS
from drivetrain.engine.base import Engine as Engine
from drivetrain.engine.hooks import FitResult as FitResult

__all__ = ["TASKS_WITH_OBJECTS", "Engine", "FitResult"]
