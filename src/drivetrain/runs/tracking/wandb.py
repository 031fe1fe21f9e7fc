"""Tracking a run in W&B."""

from __future__ import annotations

import netrc
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import require
from drivetrain.runs.tracking.parameters import parameters

_SECONDS = 20.0
_HOST = "api.wandb.ai"


class WandB:
    """Logs to the project of ``WANDB_PROJECT``; without an API key it writes an offline run below ``tracking``."""

    name = "wandb"
    _run: Any = None

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Open a run, or continue the one that is resumed."""
        wandb = require("wandb", "wandb", purpose="logger='wandb'")
        (directory / "tracking").mkdir(exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "drivetrain"),
            name=directory.name,
            dir=str(directory / "tracking"),
            config=parameters(record),
            mode=_mode(),
            id=before.get("run_id"),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", init_timeout=_SECONDS, x_disable_stats=True),
        )
        url = "" if self._run.offline else str(self._run.url)
        return {"run_id": str(self._run.id), "url": url, "folder": str(self._run.dir)}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log all metrics of the epoch, with its number as the step."""
        self._run.log(dict(metrics), step=epoch)

    def log_file(self, path: Path, folder: str) -> None:
        """Put a file into the run's folder, which is uploaded at the end."""
        target = Path(self._run.dir) / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, target)

    def log_picture(self, name: str, path: Path) -> None:
        """Log an image of the run."""
        image = require("wandb", "wandb").Image
        self._run.log({name: image(str(path))})

    def close(self, status: str) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if status == "finished" else 1)


def _mode() -> str | None:
    """The value of ``WANDB_MODE``; offline if there is no API key, since prompting for one would block the training."""
    if "WANDB_MODE" in os.environ or os.environ.get("WANDB_API_KEY"):
        return None
    try:
        return None if netrc.netrc().authenticators(_HOST) else "offline"
    except (OSError, netrc.NetrcParseError):
        return "offline"
