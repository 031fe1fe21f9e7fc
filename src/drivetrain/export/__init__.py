"""Exporting a trained model to an artefact that is verified against the model before it takes its final name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.export.compare import compare_predictions
    from drivetrain.export.export import export_artifact
    from drivetrain.export.source import ExportSource
    from drivetrain.export.verification import verify

_PUBLIC = {
    "ExportSource": "drivetrain.export.source:ExportSource",
    "compare_predictions": "drivetrain.export.compare:compare_predictions",
    "export_artifact": "drivetrain.export.export:export_artifact",
    "verify": "drivetrain.export.verification:verify",
}

__all__ = ["ExportSource", "compare_predictions", "export_artifact", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain.export' has no attribute {name!r}")
    value = import_object(_PUBLIC[name])
    globals()[name] = value
    return value
