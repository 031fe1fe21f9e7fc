"""Follow a run in TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import require
from drivetrain.runs.tracking.parameters import parameters


class TensorBoard:
    """Writes event files below ``tracking/tensorboard`` in the work dir; ``tensorboard --logdir`` shows them."""

    name = "tensorboard"
    _writer: Any = None
    _step = 0

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Open a writer; a resumed run goes on in the same folder."""
        writer = require("tensorboardX", "tensorboard", purpose="logger='tensorboard'").SummaryWriter
        folder = directory / "tracking" / "tensorboard"
        self._writer = writer(str(folder))
        if not before:
            rows = "\n".join(f"| {name} | {value} |" for name, value in parameters(record).items())
            self._writer.add_text("run", f"| | |\n|---|---|\n{rows}", 0)
        return {"folder": str(folder)}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Scalars, one step for each epoch; TensorBoard has no place for a value that is undefined."""
        self._step = epoch
        for name, value in metrics.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def log_file(self, path: Path, folder: str) -> None:
        """TensorBoard keeps no files, so their place is written down."""
        self._writer.add_text(f"files/{folder}/{path.name}", str(path), self._step)

    def log_picture(self, name: str, path: Path) -> None:
        """An image at the last step."""
        from drivetrain.images.read import read_image

        self._writer.add_image(name, read_image(path), self._step, dataformats="HWC")

    def close(self, status: str) -> None:
        """Write what is left."""
        self._writer.add_text("status", status, self._step)
        self._writer.close()
