"""Tracking a run in TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import require
from drivetrain.runs.tracking.parameters import parameters


class TensorBoard:
    """Writes event files below ``tracking/tensorboard`` in the work dir; view them with ``tensorboard --logdir``."""

    name = "tensorboard"
    _writer: Any = None
    _step = 0

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Open a writer; a resumed run continues in the same folder."""
        writer = require("tensorboardX", "tensorboard", purpose="logger='tensorboard'").SummaryWriter
        folder = directory / "tracking" / "tensorboard"
        self._writer = writer(str(folder))
        if not before:
            rows = "\n".join(f"| {name} | {value} |" for name, value in parameters(record).items())
            self._writer.add_text("run", f"| | |\n|---|---|\n{rows}", 0)
        return {"folder": str(folder)}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write scalars, one step per epoch; undefined values are skipped, as TensorBoard cannot show them."""
        self._step = epoch
        for name, value in metrics.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def log_file(self, path: Path, folder: str) -> None:
        """Record the path of the file; TensorBoard does not store files."""
        self._writer.add_text(f"files/{folder}/{path.name}", str(path), self._step)

    def log_picture(self, name: str, path: Path) -> None:
        """Write an image at the last step."""
        from drivetrain.images.read import read_image

        self._writer.add_image(name, read_image(path), self._step, dataformats="HWC")

    def close(self, status: str) -> None:
        """Flush and close the writer."""
        self._writer.add_text("status", status, self._step)
        self._writer.close()
