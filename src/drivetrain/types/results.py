"""What the verbs give back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

TrialState = Literal["running", "finished", "pruned", "failed", "out of memory", "interrupted"]
_LOWER_IS_BETTER = {"loss", "error", "err", "rmse", "mse", "mae", "nll", "perplexity", "distance", "rel", "silog"}
_LOWER_IS_BETTER |= {"latency", "seconds", "ms", "size", "memory"}
_WORD = re.compile(r"[a-z]+")


def lower_is_better(name: str) -> bool:
    """Whether a metric of this name is the better the lower it is: one of the name's words says so."""
    return not _LOWER_IS_BETTER.isdisjoint(_WORD.findall(name.lower()))


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of the history of a training.

    Attributes:
        epoch: 0-based.
        metrics: names and values, such as ``train/loss``, ``val/accuracy``, ``learning_rate``; the one that chooses the
            best state comes first.
        is_best: whether no epoch before was better by the first metric; not in ``metrics.csv``.
    """

    epoch: int
    metrics: dict[str, float]
    is_best: bool = field(default=False, compare=False)


class Metrics(Mapping[str, float]):
    """Named numbers, read like a dict; the upstream's own are under ``upstream/...``.

    Args:
        values: scalar metrics. What is undefined is NaN.
        per_class: metric name -> label name -> value.
        tables: larger results, such as ``confusion_matrix``, as nested lists.
        count: number of images they were computed on.
    """

    def __init__(
        self,
        values: Mapping[str, float],
        *,
        per_class: Mapping[str, Mapping[str, float]] | None = None,
        tables: Mapping[str, Any] | None = None,
        count: int = 0,
    ) -> None:
        self._values = dict(values)
        self.per_class = {name: dict(row) for name, row in (per_class or {}).items()}
        self.tables = dict(tables or {})
        self.count = count

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:.4f}" for name, value in self._values.items())
        return f"Metrics({numbers})"

    def merged(self, extra: Mapping[str, float]) -> Metrics:
        """These metrics and further scalars."""
        return Metrics({**self._values, **extra}, per_class=self.per_class, tables=self.tables, count=self.count)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"values": self._values, "per_class": self.per_class, "tables": self.tables, "count": self.count}


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training left behind.

    Attributes:
        best_checkpoint: the state with the best validation metric; ``None`` if there was nothing to choose by.
        last_checkpoint: the state at the end; ``None`` for models that keep none.
        metrics: the validation metrics of the chosen state.
        history: one record for each epoch.
        overrides: options that the upstream replaced: name -> (asked, used).
        work_dir: where all of it lies.
        notes: what the user should know about how the options were carried out.
        metric: the metric that chose the best state; ``None`` if there was nothing to choose by.
        best_epoch: the epoch of ``metrics``, 0-based; ``None`` if they are those of the last epoch.
    """

    best_checkpoint: Path | None
    last_checkpoint: Path | None
    metrics: Metrics
    history: tuple[EpochRecord, ...]
    overrides: dict[str, tuple[Any, Any]]
    work_dir: Path
    notes: tuple[str, ...] = ()
    metric: str | None = None
    best_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial of a search.

    Attributes:
        number: 0-based, in the order they were begun.
        state: ``"interrupted"`` ones were going on when the search was killed, and are done again under another number.
        values: of what is searched.
        value: the best of the metric; ``None`` if it was never measured.
        curve: (0-based epoch, metric) after each epoch.
        used: what the framework really used for each option that is searched.
        seconds: from the order to the answer.
        training_seconds: from the beginning of the first epoch to the end of the last.
        error: why it failed, or was ended early.
    """

    number: int
    state: TrialState
    values: dict[str, Any]
    value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    used: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    training_seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a search found.

    Attributes:
        best: values of what was searched, of the best trial.
        value: the metric of the best trial.
        metric: that trials were compared by.
        trials: every trial that was begun.
        importances: how much each option matters, in shares of 1; empty where there are too few trials to tell.
        config: the best configuration, as a file that ``--config`` takes.
        best_checkpoint: of the best trial, if it left one.
        work_dir: where all of it lies.
    """

    best: dict[str, Any]
    value: float
    metric: str
    trials: tuple[TrialRecord, ...]
    importances: dict[str, float]
    config: Path
    best_checkpoint: Path | None
    work_dir: Path

    def count(self, state: TrialState) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How the artefact compares with the model it came from, on real images.

    Attributes:
        images: the files that were compared.
        max_difference: the largest absolute difference of each compared quantity.
        tolerance: what was allowed for each.
        agreement: share of the images with the same decision, 0..1.
        passed: whether everything is within its tolerance.
        details: more numbers, for the reader of the report.
    """

    images: tuple[str, ...]
    max_difference: dict[str, float]
    tolerance: dict[str, float]
    agreement: float
    passed: bool
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
