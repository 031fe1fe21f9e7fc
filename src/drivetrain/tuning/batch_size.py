"""Choosing a batch size: halve it until it fits, or double it while it fits and training gets faster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drivetrain.data import Dataset
from drivetrain.errors import DrivetrainError
from drivetrain.launch.setup import Setup
from drivetrain.launch.worker import Failure, Worker, next_speaker
from drivetrain.machine.resources import available_memory, session_memory
from drivetrain.tuning.short_training import ProbeOrder, Speed, hardest, short
from drivetrain.types.options import TrainOptions

_PROBE = "drivetrain.tuning.short_training:run"
_SAFE_SHARE = 0.9
_WATCH_SECONDS = 0.05
_LEAST_GAIN = 1.03


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements for one batch size.

    Attributes:
        batch_size: the size that was tried, or that the engine chose.
        fits: whether training stays within the memory.
        memory: bytes in addition to what the process held before training.
        images_per_second: 0 if it does not fit or the training was too short to tell.
    """

    batch_size: int
    fits: bool
    memory: int
    images_per_second: float = 0.0

    def __str__(self) -> str:
        if not self.fits:
            return f"{self.batch_size} does not fit"
        speed = f" at {self.images_per_second:.0f} img/s" if self.images_per_second else ""
        return f"{self.batch_size} needs {self.memory / 2**20:.0f} MiB{speed}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch size and how it was found.

    Attributes:
        batch_size: the chosen batch size.
        available: bytes that training may use.
        measured: every batch size that was tried, in order.
        memory: which memory was measured: the machine's, ``"memory"``, or ``"accelerator memory"``.
    """

    batch_size: int
    available: int
    measured: tuple[Measured, ...] = field(default_factory=tuple)
    memory: str = "memory"

    def __str__(self) -> str:
        rows = [str(row) for row in self.measured]
        of = f"of {self.available / 2**20:.0f} MiB of {self.memory}"
        return f"batch_size={self.batch_size} was chosen; {of}: {'; '.join(rows)}"


def choose(setup: Setup, dataset: Dataset, options: TrainOptions, *, log: Path) -> Chosen:
    """Find the batch size for a training run.

    Args:
        setup: the setup of the engine.
        dataset: the data set to train on.
        options: the training options; ``adaptive_bs`` is ``"safe"`` for the requested or default batch size if it
            fits, else half of it, a quarter, ...; or ``"full"`` for the fastest one that fits.
        log: file for the output of the short trainings.

    Raises:
        DrivetrainError: a short training failed for a reason other than memory.
    """
    worker = Worker(log)
    with tempfile.TemporaryDirectory(prefix="drivetrain-batch-size-") as folder:
        try:
            probe = _Probe(worker, setup, dataset, options, Path(folder) / "run")
            return _search(probe, options, probe.images)
        finally:
            worker.stop()


def _search(probe: _Probe, options: TrainOptions, images: int) -> Chosen:
    asked = min(options.batch_size, images) if options.batch_size is not None else probe.usual()
    measured = [probe(asked)]
    while not measured[-1].fits and measured[-1].batch_size > 1:
        measured.append(probe(measured[-1].batch_size // 2))
    if options.adaptive_bs == "full" and len(measured) == 1:
        measured += _growing(probe, measured[0], images)
    fitting = [row for row in measured if row.fits]
    best = max((row.images_per_second for row in fitting), default=0.0)
    quick = [row for row in fitting if row.images_per_second * _LEAST_GAIN >= best]
    size = min(quick or measured, key=lambda row: row.batch_size).batch_size
    size = size if options.adaptive_bs == "full" else measured[-1].batch_size
    return Chosen(size, probe.available, tuple(measured), probe.memory)


def _growing(probe: Callable[[int], Measured], first: Measured, images: int) -> Iterator[Measured]:
    """Double the batch size while it fits, an epoch has two steps, and one of the last two doublings was faster."""
    row, best, slower = first, first.images_per_second, 0
    while row.fits and row.batch_size * 4 <= images and slower < 2:
        row = probe(row.batch_size * 2)
        slower = 0 if row.images_per_second > best * _LEAST_GAIN else slower + 1
        best = max(best, row.images_per_second)
        yield row


class _Probe:
    """Measures one batch size after another.

    Args:
        worker: the worker process that trains.
        setup: the setup of the engine.
        dataset: the data set that images are taken from.
        options: the training options.
        folder: the folder for the short trainings.

    Attributes:
        host: bytes of main memory that training may use.
        available: bytes of the memory that is measured: the accelerator's, once a training has reported one.
        memory: which memory is measured, see :class:`Chosen`.
    """

    def __init__(self, worker: Worker, setup: Setup, dataset: Dataset, options: TrainOptions, folder: Path) -> None:
        self.worker, self.setup, self.dataset = worker, setup, dataset
        self.options, self.folder = options, folder
        self.before: dict[int | None, int] = {}
        self.images = dataset.subsets["train"]
        self.host = self.available = available_memory()
        self.memory = "memory"

    def usual(self) -> int:
        """The engine's default batch size.

        Raises:
            DrivetrainError: the engine does not report it.
        """
        answer, _ = self._order(replace(self.setup, data=self.dataset), short(self.options, None), only_ask=True)
        if isinstance(answer, Speed) and answer.batch_size:
            return min(answer.batch_size, self.images)
        why = f": {answer}" if isinstance(answer, Failure) else " does not report its default batch size."
        raise DrivetrainError(f"adaptive_bs={self.options.adaptive_bs!r}: the engine{why} Give batch_size too.")

    def __call__(self, batch_size: int) -> Measured:
        """Measure one batch size.

        Raises:
            DrivetrainError: the training failed for a reason other than memory.
        """
        setup = replace(self.setup, data=hardest(self.dataset, batch_size))
        answer, memory = self._order(setup, short(self.options, batch_size))
        if isinstance(answer, Speed):
            return self._judged(batch_size, answer, memory)
        if answer.out_of_memory:
            return Measured(batch_size, False, memory)
        raise DrivetrainError(
            f"adaptive_bs={self.options.adaptive_bs!r}: a short training with batch_size={batch_size} failed: {answer} "
            "Leave adaptive_bs out to see whether full training fails too."
        )

    def _order(self, setup: Setup, options: TrainOptions, *, only_ask: bool = False) -> tuple[Any, int]:
        self.worker.start(_PROBE, ProbeOrder(setup, options, self.folder, only_ask))
        return self._watch()

    def _judged(self, batch_size: int, speed: Speed, memory: int) -> Measured:
        fits = memory <= _SAFE_SHARE * self.host
        if speed.accelerator_bytes is not None and speed.accelerator_total:
            fits = fits and speed.accelerator_bytes <= _SAFE_SHARE * speed.accelerator_total
            memory = speed.accelerator_bytes
            self.available, self.memory = speed.accelerator_total, "accelerator memory"
        return Measured(batch_size, fits, memory, speed.images_per_second if fits else 0.0)

    def _watch(self) -> tuple[Speed | Failure, int]:
        """The answer of the worker, and the memory its training used; it is stopped before memory is exhausted."""
        limit = available_memory(ulimit=False)
        most = 0
        pid = self.worker.pid
        while True:
            heard = next_speaker([self.worker], _WATCH_SECONDS)
            held = session_memory(pid) if pid is not None else 0
            most = max(most, held)
            if held > limit:
                self.worker.stop()
                return Failure("died", "it was stopped before memory was exhausted.", out_of_memory=True), most
            if not heard:
                continue
            message = self.worker.receive()
            if message.kind == "event":
                # a process keeps memory freed by earlier trainings, so the baseline is taken before its first one
                self.before.setdefault(pid, message.value)
            elif message.kind in ("done", "failed"):
                answer: Speed | Failure = message.value
                return answer, max(0, most - self.before.get(pid, 0))
