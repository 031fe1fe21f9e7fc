"""Writing ONNX models."""

from __future__ import annotations

from pathlib import Path

from drivetrain.errors import ExportError
from drivetrain.export.source import ExportSource


def write_onnx(source: ExportSource, folder: Path, *, fp16: bool) -> tuple[str, tuple[str, ...]]:
    raise ExportError(f"{source} {folder} {fp16}")
