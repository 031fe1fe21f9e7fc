"""The values that cross a boundary: numpy and the standard library only."""

from drivetrain.types.image_spec import ImageSpec
from drivetrain.types.prediction import Prediction, Predictions
from drivetrain.types.results import EpochRecord, Metrics, ParityReport, TrainResult
from drivetrain.types.sample import Sample
from drivetrain.types.task import Task

__all__ = [
    "EpochRecord",
    "ImageSpec",
    "Metrics",
    "ParityReport",
    "Prediction",
    "Predictions",
    "Sample",
    "Task",
    "TrainResult",
]
