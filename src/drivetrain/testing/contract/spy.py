"""A progress and a tracker that record what they receive during training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.types.results import EpochRecord

if TYPE_CHECKING:
    from drivetrain.engine import Engine


class Spy:
    """A progress that records everything.

    Attributes:
        events: names of the called methods, in order.
        records: the arguments of ``epoch_end``.
        notes: the arguments of ``note``.
        run_record: the content of ``run.json`` when training started.
        images: the total number of images reported by ``step``.
        steps: (epoch, step) of each step.
        losses: the loss of each step.
        steps_per_epoch: as passed to ``start``.
    """

    def __init__(self, engine: Engine, *, interrupt_after: int | None = None) -> None:
        self._engine = engine
        self._interrupt_after = interrupt_after
        self.events: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.losses: list[float | None] = []
        self.steps_per_epoch: int | None = None
        self.records: list[EpochRecord] = []
        self.notes: list[str] = []
        self.run_record: dict[str, Any] = {}
        self.images = 0

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Record the call, and read ``run.json``."""
        self.events.append(f"start({first_epoch}, {epochs})")
        self.steps_per_epoch = steps_per_epoch
        path = self._engine.work_dir / "run.json"
        self.run_record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """Count."""
        self.events.append("step")
        self.steps.append((epoch, step))
        self.losses.append(loss)
        self.images += images

    def epoch_end(self, record: EpochRecord) -> None:
        """Record the call; press Ctrl-C if it is time."""
        self.events.append("epoch_end")
        self.records.append(record)
        if self._interrupt_after is not None and len(self.records) >= self._interrupt_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        """Remember."""
        self.notes.append(text)

    def stop(self) -> None:
        """Remember."""
        self.events.append("stop")


class SpyTracker:
    """A tracker that records what the run reports; the most recently opened one is ``SpyTracker.last``."""

    name = "spy"
    last: ClassVar[SpyTracker]

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self.epochs: dict[int, dict[str, float]] = {}
        self.files: list[str] = []
        self.pictures: dict[str, Path] = {}
        self.status = ""

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Remember."""
        SpyTracker.last = self
        self.record = {**record, "before": dict(before)}
        return {"where": str(directory)}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Remember."""
        self.epochs[epoch] = dict(metrics)

    def log_file(self, path: Path, folder: str) -> None:
        """Remember."""
        self.files.append(f"{folder}/{path.name}")

    def log_picture(self, name: str, path: Path) -> None:
        """Remember."""
        self.pictures[name] = path

    def close(self, status: str) -> None:
        """Remember."""
        self.status = status
