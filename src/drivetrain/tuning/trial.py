"""One trial: a training in a worker that reports its metric after each epoch, with a check of the options it used."""

from __future__ import annotations

import gc
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivetrain.errors import OptionError, TrialPruned, near
from drivetrain.launch.setup import Setup
from drivetrain.launch.worker import Channel
from drivetrain.runs.progress import SilentProgress
from drivetrain.types.options import TrainOptions
from drivetrain.types.results import EpochRecord, lower_is_better


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """The description of a trial.

    Attributes:
        setup: the setup of the engine, with the trial's model arguments.
        options: the options of its training.
        values: the values of the searched options.
        metric: the metric that trials are compared by.
        folder: its work dir.
    """

    setup: Setup
    options: TrainOptions
    values: Mapping[str, Any]
    metric: str
    folder: Path


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """The result of a trial.

    Attributes:
        value: the best value of its metric.
        epochs: how many epochs were trained.
        used: what the framework actually used for each searched option.
        training_seconds: from the first to the last epoch, without creating the engine and closing the run.
    """

    value: float
    epochs: int
    used: dict[str, Any]
    training_seconds: float


class _Reporter(SilentProgress):
    """A progress that asks after each epoch whether to continue."""

    def __init__(self, channel: Channel, metric: str) -> None:
        self._channel, self._metric = channel, metric
        self._epochs = 0
        self.values: list[float] = []
        self.logged: set[str] = set()
        self.began = self.ended = time.monotonic()

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Start measuring time."""
        super().start(epochs=epochs, steps_per_epoch=steps_per_epoch, first_epoch=first_epoch)
        self._epochs = epochs
        self.began = self.ended = time.monotonic()

    def epoch_end(self, record: EpochRecord) -> None:
        """Report the metric; stop the training if the answer says so."""
        self.ended = time.monotonic()
        self.logged |= set(record.metrics)
        value = record.metrics.get(self._metric)
        if value is None:
            return
        self.values.append(value)
        is_last = record.epoch + 1 >= self._epochs
        told = {"epoch": record.epoch, "value": value, "training_seconds": self.ended - self.began, "is_last": is_last}
        stop = self._channel.ask(told)
        if stop:
            raise TrialPruned(f"Stopped after epoch {record.epoch + 1}: {stop}.")

    @property
    def best(self) -> float:
        """The best value so far.

        Raises:
            OptionError: the metric was not logged.
        """
        if not self.values:
            known = sorted(name for name in self.logged if name != "learning_rate")
            raise OptionError(
                f"metric={self._metric!r} is not logged.{near(self._metric, known)} Logged: "
                f"{', '.join(known) or 'none'}. Give metric=..."
            )
        finite = [value for value in self.values if not math.isnan(value)]
        choose = min if lower_is_better(self._metric) else max
        return choose(finite) if finite else math.nan


def run(channel: Channel, order: TrialOrder) -> TrialOutcome:
    """Train with the values of the trial.

    Args:
        channel: consulted after each epoch; any answer except "" stops the training.
        order: the description of the trial.

    Raises:
        TrialPruned: the answer was to stop.
        OptionError: the framework used a different value from the trial's, or does not report which it used.
    """
    if order.folder.exists():
        shutil.rmtree(order.folder)
    reporter = _Reporter(channel, order.metric)
    engine = order.setup.make(order.folder)
    engine.progress = reporter
    try:
        engine.train(**{name: getattr(order.options, name) for name in TrainOptions.names()})
        used = {name: _used(engine, name, value) for name, value in order.values.items()}
        return TrialOutcome(reporter.best, len(reporter.values), used, reporter.ended - reporter.began)
    finally:
        del engine
        gc.collect()


def _used(engine: Any, name: str, asked: Any) -> Any:
    is_default = asked is None and name in TrainOptions.names()  # None leaves it to the engine: any value matches
    try:
        used = engine.used_value(name)
    except KeyError as error:
        if is_default:
            return None
        raise OptionError(
            f"{name}={asked!r} was searched, but the framework does not report the value it used, so the trial proves "
            "nothing. Remove it from the space."
        ) from error
    if not is_default and not _same(asked, used):
        raise OptionError(
            f"{name}={asked!r} did not reach the framework, which used {used!r}. Remove it from the space, or search "
            "only what the model does not set itself."
        )
    return used


def _same(asked: Any, used: Any) -> bool:
    """Whether two values are equal: numbers up to rounding, and one size for both sides of a square."""
    if isinstance(used, list | tuple) and isinstance(asked, int) and not isinstance(asked, bool):
        return len(used) > 0 and all(_same(asked, item) for item in used)
    if isinstance(asked, list | tuple) and isinstance(used, list | tuple):
        return len(asked) == len(used) and all(map(_same, asked, used))
    if isinstance(asked, float) or isinstance(used, float):
        numbers = isinstance(asked, int | float) and isinstance(used, int | float)
        return numbers and math.isclose(asked, used, rel_tol=1e-6, abs_tol=1e-12)
    return bool(asked == used)
