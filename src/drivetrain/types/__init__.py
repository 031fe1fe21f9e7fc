"""The values passed between rooms. Only numpy and the standard library, and numpy only when a value needs it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivetrain.types.image_spec import ImageSpec
    from drivetrain.types.prediction import Prediction, Predictions
    from drivetrain.types.results import (
        BenchmarkResult,
        EpochRecord,
        Metrics,
        ParityReport,
        TrainResult,
        TrialRecord,
        TuneResult,
    )
    from drivetrain.types.sample import Sample
    from drivetrain.types.task import Task

_PUBLIC = {
    "BenchmarkResult": "drivetrain.types.results:BenchmarkResult",
    "EpochRecord": "drivetrain.types.results:EpochRecord",
    "ImageSpec": "drivetrain.types.image_spec:ImageSpec",
    "Metrics": "drivetrain.types.results:Metrics",
    "ParityReport": "drivetrain.types.results:ParityReport",
    "Prediction": "drivetrain.types.prediction:Prediction",
    "Predictions": "drivetrain.types.prediction:Predictions",
    "Sample": "drivetrain.types.sample:Sample",
    "Task": "drivetrain.types.task:Task",
    "TrainResult": "drivetrain.types.results:TrainResult",
    "TrialRecord": "drivetrain.types.results:TrialRecord",
    "TuneResult": "drivetrain.types.results:TuneResult",
}

__all__ = [
    "BenchmarkResult",
    "EpochRecord",
    "ImageSpec",
    "Metrics",
    "ParityReport",
    "Prediction",
    "Predictions",
    "Sample",
    "Task",
    "TrainResult",
    "TrialRecord",
    "TuneResult",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain.types' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
