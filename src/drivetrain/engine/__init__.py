"""The engine: the factory over the registry and the single public contract; it contains no framework."""

from __future__ import annotations

from drivetrain.engine.engine import Engine as Engine
from drivetrain.engine.framework import FitResult as FitResult
from drivetrain.engine.framework import Framework as Framework

__all__ = ["Engine", "FitResult", "Framework"]
