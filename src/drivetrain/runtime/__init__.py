"""Running artefacts, without torch or the framework that a model was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.runtime.prediction_stream import PredictionStream
    from drivetrain.runtime.predictor import Predictor, load

__all__ = ["PredictionStream", "Predictor", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'drivetrain.runtime' has no attribute {name!r}")
    value = import_object(f"drivetrain.runtime.predictor:{name}")
    globals()[name] = value
    return value
