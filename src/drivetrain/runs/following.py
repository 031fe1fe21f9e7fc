"""The run as a rank other than the first sees it: it reads what rank 0 wrote and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.run import Run
from drivetrain.types.results import EpochRecord


class FollowingRun(Run):
    """A run that another process writes.

    Args:
        directory: the work dir.
        record: the content of its ``run.json``.
        history: the epochs so far.
    """

    def __init__(self, directory: Path, record: Mapping[str, Any], history: Sequence[EpochRecord]) -> None:
        super().__init__(directory, SilentProgress())
        self.record, self.history = dict(record), list(history)

    def begin(self, record: Mapping[str, Any], *, config: Mapping[str, Any] | None = None) -> None:
        """Know what rank 0 writes."""
        del config
        self.earlier = self.record
        self.record = {**self.record, **record}

    def update(self, **values: Any) -> None:
        """Know what rank 0 writes."""
        self.record.update(values)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> EpochRecord:
        """Add the epoch to the history."""
        record = EpochRecord(epoch, dict(metrics))
        self.history = [*(old for old in self.history if old.epoch < epoch), record]
        return record

    def close(self, status: str, **values: Any) -> None:
        """Do nothing: rank 0 closes the run."""

    def refuse(self, error: str) -> None:
        """Do nothing: rank 0 closes the run."""
