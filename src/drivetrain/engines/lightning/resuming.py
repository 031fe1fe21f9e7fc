"""The state from which a training is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import CheckpointError
from drivetrain.torch_training.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from drivetrain.runs.run import Run


def state_to_resume(run: Run, here: Mapping[str, Any]) -> Path:
    """The last state of a run.

    Args:
        run: the run with its checkpoints.
        here: what a checkpoint would say about the model to be resumed.

    Raises:
        CheckpointError: there is none, or it belongs to another model or has other labels.
    """
    path = run.checkpoints / "last.ckpt"
    there = read_checkpoint(path).get("drivetrain_model") or {}
    for key in ("kind", "class", "source", "name", "task", "label_names"):
        if there.get(key) != here.get(key):
            raise CheckpointError(
                f"resume=True: the last state in {str(run.directory)!r} has {key}={there.get(key)!r}, but the "
                f"model has {here.get(key)!r}. Give what the run was started with, or another work_dir."
            )
    return path
