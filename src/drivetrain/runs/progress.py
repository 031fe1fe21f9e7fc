"""Progress displays for long work: bars on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import IO, Any, Protocol

from drivetrain.types.results import EpochRecord

#: What an epoch's line shows in addition to the metric that selects the best state.
_SHOWN = ("val/loss", "train/loss")
_FEW = 3


class Progress(Protocol):
    """Receives the progress of a training run."""

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Training starts; ``steps_per_epoch`` is ``None`` if unknown."""

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """A batch of ``images`` has been processed; ``step`` is 0-based within the epoch."""

    def epoch_end(self, record: EpochRecord) -> None:
        """An epoch has ended and its metrics are known."""

    def note(self, text: str) -> None:
        """A message that the user should see."""

    def stop(self) -> None:
        """The work has ended or was aborted."""


class SilentProgress:
    """Says nothing."""

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Say nothing."""

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """Say nothing."""

    def epoch_end(self, record: EpochRecord) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def stop(self) -> None:
        """Say nothing."""


class NotesOnly(SilentProgress):
    """Shows no progress, but still prints notes that the user should see, such as skipped images."""

    def note(self, text: str) -> None:
        """Print the note."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class _Rate:
    """Images per second and the remaining time."""

    def __init__(self, epochs: int, steps_per_epoch: int | None, first_epoch: int) -> None:
        self.epochs, self.steps_per_epoch, self.first_epoch = epochs, steps_per_epoch, first_epoch
        self.images, self.steps, self.began = 0, 0, time.monotonic()

    def add(self, images: int) -> None:
        self.images += images
        self.steps += 1

    @property
    def per_second(self) -> float:
        return self.images / max(1e-9, time.monotonic() - self.began)

    @property
    def seconds_left(self) -> float | None:
        if not self.steps_per_epoch or not self.steps:
            return None
        total = (self.epochs - self.first_epoch) * self.steps_per_epoch
        return (total - self.steps) * (time.monotonic() - self.began) / self.steps


def _describe(record: EpochRecord) -> str:
    """The selecting metric and the losses; all numbers are in ``metrics.csv``."""
    first = next(iter(record.metrics), None)
    names = dict.fromkeys(name for name in (first, *_SHOWN) if name in record.metrics)
    if len(names) < _FEW:
        names |= dict.fromkeys([name for name in record.metrics if name != "learning_rate"][:_FEW])
    best = {first: " (best so far)"} if record.is_best else {}
    return ", ".join(f"{name} {record.metrics[name]:.4g}{best.get(name, '')}" for name in [*names][:_FEW])


class LineProgress:
    """One plain line per epoch, suitable for logs."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream
        self._rate = _Rate(0, None, 0)

    def _say(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Record the amount of work."""
        self._rate = _Rate(epochs, steps_per_epoch, first_epoch)

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """Count."""
        self._rate.add(images)

    def epoch_end(self, record: EpochRecord) -> None:
        """Print the metrics of the epoch, the rate and the remaining time."""
        left = self._rate.seconds_left
        eta = f", {left:.0f} s left" if left is not None and left > 0 else ""
        rate = f", {self._rate.per_second:.0f} img/s" if self._rate.images else ""
        self._say(f"epoch {record.epoch + 1}/{self._rate.epochs}: {_describe(record)}{rate}{eta}")

    def note(self, text: str) -> None:
        """Print the note."""
        self._say(text)

    def stop(self) -> None:
        """Do nothing; there is nothing to close."""


class RichProgress:
    """A bar with epoch, loss, metrics, img/s and the remaining time."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Any = None
        self._task: Any = None
        self._rate = _Rate(0, None, 0)

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Open the bar."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.stop()
        self._rate = _Rate(epochs, steps_per_epoch, first_epoch)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._bar.start()
        description = f"epoch {first_epoch + 1}/{epochs}"
        self._task = self._bar.add_task(description, total=steps_per_epoch or 1, state="")

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        self._rate.add(images)
        left = self._rate.seconds_left
        parts = [f"loss {loss:.4f}"] if loss is not None else []
        parts.append(f"{self._rate.per_second:.0f} img/s")
        if left is not None and left > 0:
            parts.append(f"{left:.0f} s left")
        description = f"epoch {epoch + 1}/{self._rate.epochs}"
        self._bar.update(self._task, completed=step + 1, description=description, state="  ".join(parts))

    def epoch_end(self, record: EpochRecord) -> None:
        """Print the metrics of the epoch above the bar."""
        self._console.print(f"epoch {record.epoch + 1}/{self._rate.epochs}: {_describe(record)}", highlight=False)

    def note(self, text: str) -> None:
        """Print the note above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class RewordedNotes:
    """A wrapper around another progress that rewords the notes.

    Args:
        inner: the progress that displays everything.
        reword: returns the text to display.
    """

    def __init__(self, inner: Progress, reword: Callable[[str], str]) -> None:
        self._inner, self._reword = inner, reword
        self.start, self.step, self.epoch_end, self.stop = inner.start, inner.step, inner.epoch_end, inner.stop

    def note(self, text: str) -> None:
        """Display the reworded note."""
        self._inner.note(self._reword(text))


def terminal_width() -> int | None:
    """Characters per line if standard error is a terminal, else ``None``."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else None


def default_progress() -> Progress:
    """Bars if standard error is a terminal, plain lines otherwise."""
    return RichProgress() if sys.stderr.isatty() else LineProgress()
