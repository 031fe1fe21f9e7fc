"""Tracking a run in TensorBoard, MLflow or W&B: the same ``logger=`` for every engine, fed by the run."""

from __future__ import annotations

from drivetrain.runs.tracking.names import TRACKERS as TRACKERS
from drivetrain.runs.tracking.names import framework_loggers as framework_loggers
from drivetrain.runs.tracking.names import open_trackers as open_trackers
from drivetrain.runs.tracking.names import require_trackers as require_trackers
from drivetrain.runs.tracking.trackers import Tracker as Tracker
from drivetrain.runs.tracking.trackers import Trackers as Trackers

__all__ = ["TRACKERS", "Tracker", "Trackers", "framework_loggers", "open_trackers", "require_trackers"]
