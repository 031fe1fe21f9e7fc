"""A short training in a worker: a few steps with the largest inputs and a validation, measuring time and memory."""

from __future__ import annotations

import contextlib
import gc
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drivetrain.data import Dataset
from drivetrain.launch.setup import Setup
from drivetrain.launch.worker import Channel
from drivetrain.machine.device import accelerator_peak
from drivetrain.machine.resources import resident_memory
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.types.options import TrainOptions

_STEPS = 3


@dataclass(frozen=True, slots=True)
class ProbeOrder:
    """What to measure.

    Attributes:
        setup: the setup of the engine.
        options: the training options, with the batch size to measure; ``None`` for the engine's default.
        folder: a temporary work dir.
        only_ask: do not train, only report the batch size that would be used.
    """

    setup: Setup
    options: TrainOptions
    folder: Path
    only_ask: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """The result of a short training.

    Attributes:
        batch_size: the batch size the framework used; ``None`` if it does not report it.
        images_per_second: over all steps except the first, which warms up.
        accelerator_bytes: peak memory on the accelerator, ``None`` on the CPU.
        accelerator_total: total memory of the accelerator.
    """

    batch_size: int | None
    images_per_second: float
    accelerator_bytes: int | None = None
    accelerator_total: int | None = None


class _Asked(Exception):
    """Raised where training would start, when only its options were wanted."""


class _Clock(SilentProgress):
    """Records the time of each step.

    Args:
        only_ask: abort the training before its first step.
    """

    def __init__(self, *, only_ask: bool) -> None:
        self.only_ask = only_ask
        self.times: list[float] = []
        self.images: list[int] = []

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Abort if only the options were wanted."""
        super().start(epochs=epochs, steps_per_epoch=steps_per_epoch, first_epoch=first_epoch)
        if self.only_ask:
            raise _Asked

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        """Record the time."""
        super().step(epoch=epoch, step=step, images=images, loss=loss)
        self.times.append(time.monotonic())
        self.images.append(images if step else 0)  # the time before the first step of an epoch is not its own cost

    @property
    def images_per_second(self) -> float:
        """The rate over all steps that followed another."""
        pairs = zip(self.times, self.times[1:], self.images[1:], strict=False)
        spans = [(after - before, images) for before, after, images in pairs if images]
        seconds = sum(span for span, _ in spans)
        return sum(images for _, images in spans) / seconds if seconds > 0 else 0.0


def run(channel: Channel, order: ProbeOrder) -> Speed:
    """Train for a few steps.

    Args:
        channel: receives the memory that the process holds before training.
        order: what to measure.
    """
    clock = _Clock(only_ask=order.only_ask)
    engine = order.setup.make(order.folder)
    engine.progress = clock
    channel.tell(resident_memory())
    try:
        with contextlib.suppress(_Asked):
            engine.train(**{name: getattr(order.options, name) for name in TrainOptions.names()})
        used = read_record(order.folder).get("effective_options", {}).get("batch_size")
        return Speed(used, clock.images_per_second, *accelerator_peak())
    finally:
        del engine
        gc.collect()
        shutil.rmtree(order.folder, ignore_errors=True)


def hardest(dataset: Dataset, batch_size: int) -> Dataset:
    """The largest training images, enough for a few steps, and the largest validation images for one step.

    Args:
        dataset: a data set with a subset ``train``.
        batch_size: images per step.
    """
    names = dataset.subset_names
    areas = dataset.sizes.astype(np.int64).prod(axis=1)
    order = np.lexsort((-areas, -dataset.object_counts))
    rows: list[int] = []
    for subset, most in (("train", _STEPS * batch_size), ("val", batch_size)):
        own = order[names[order] == subset]
        whole = len(own) // batch_size * batch_size  # an incomplete last batch would measure less
        rows += own[: min(most, whole or len(own))].tolist()
    return dataset.select(sorted(rows))


def short(options: TrainOptions, batch_size: int | None) -> TrainOptions:
    """The options for one epoch of training, unchanged in everything else that costs memory or time."""
    return replace(
        options,
        batch_size=batch_size,
        max_epochs=1,
        patience=None,
        val_check_interval=None,
        check_val_every_n_epoch=None,
        callbacks=None,
        logger=None,
        metric=None,
        resume=False,
        overwrite=True,
        run_hpo=False,
        hpo_config=None,
        adaptive_bs="none",
    )
