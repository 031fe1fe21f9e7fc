"""What the verbs return."""

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
    """Whether lower values of this metric are better, judged by the words in its name."""
    return not _LOWER_IS_BETTER.isdisjoint(_WORD.findall(name.lower()))


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of the history of a training.

    Attributes:
        epoch: 0-based.
        metrics: names and values, such as ``train/loss``, ``val/accuracy``, ``learning_rate``; the one that selects
            the best state comes first.
        is_best: whether no earlier epoch was better by the first metric; not in ``metrics.csv``.
    """

    epoch: int
    metrics: dict[str, float]
    is_best: bool = field(default=False, compare=False)


class Metrics(Mapping[str, float]):
    """Named numbers, read like a dict; the upstream's own are under ``upstream/...``.

    Args:
        values: scalar metrics; undefined ones are NaN.
        per_class: metric name -> label name -> value.
        tables: larger results, such as ``confusion_matrix``, as nested lists.
        count: the number of images they were computed on.
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
        """These metrics with further scalars added."""
        return Metrics({**self._values, **extra}, per_class=self.per_class, tables=self.tables, count=self.count)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"values": self._values, "per_class": self.per_class, "tables": self.tables, "count": self.count}


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The outcome of a training run.

    Attributes:
        best_checkpoint: the state with the best validation metric; ``None`` if there was no metric to select by.
        last_checkpoint: the state at the end; ``None`` for models that save none.
        metrics: the validation metrics of the selected state.
        history: one record for each epoch.
        overrides: options that the upstream replaced: name -> (requested, used).
        work_dir: the folder with everything the run wrote.
        notes: how options were carried out, where the user should know.
        metric: the metric that selected the best state; ``None`` if there was none to select by.
        best_epoch: the epoch of ``metrics``, 0-based; ``None`` if they are from the last epoch.
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
        number: 0-based, in the order in which trials were started.
        state: ``"interrupted"`` trials were running when the search was killed; they are repeated under a new number.
        values: the values tried for the searched options.
        value: the best value of the metric; ``None`` if it was never measured.
        curve: (0-based epoch, metric) after each epoch.
        used: what the framework actually used for each searched option.
        seconds: from request to result.
        training_seconds: from the start of the first epoch to the end of the last.
        error: why it failed or was stopped early.
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
    """The outcome of a search.

    Attributes:
        best: the searched options with the values of the best trial.
        value: the metric of the best trial.
        metric: the metric that trials were compared by.
        trials: every trial that was started.
        importances: how much each option matters, as fractions of 1; empty if there are too few trials to tell.
        config: the best configuration, as a file for ``--config``.
        best_checkpoint: the checkpoint of the best trial, if it saved one.
        work_dir: the folder with everything the search wrote.
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
        """How many trials ended in this state."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How the artefact compares with the model it was made from, on real images.

    Attributes:
        images: the files that were compared.
        max_difference: the largest absolute difference of each compared quantity.
        tolerance: the allowed difference of each.
        agreement: fraction of the images with the same decision, 0..1.
        passed: whether every difference is within its tolerance.
        details: further numbers for the reader of the report.
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


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """How fast and how large a model is, on the machine where it was measured.

    Attributes:
        measured: what was: ``"artefact"`` or ``"model"`` (in its own framework).
        model: its name, or the path of the artefact.
        runtime: what computed, with its version.
        device: where.
        precision: of the arithmetic.
        hint: what was asked for.
        batch_size: images at a time in the network (of a model in its framework: in a step).
        streams: inferences at the same time.
        threads: that the runtime computes with; 0 where it does not tell.
        seconds: for which each stage was measured, after a warm-up that does not count.
        stages: ``"network"`` alone (of artefacts), from ``"arrays"`` and from ``"files"`` to predictions. Each has
            ``images_per_second``, ``images`` and, where one image is asked about at a time, ``latency_ms``.
        load_seconds: until the model is ready to be asked.
        first_seconds: the first answer after that.
        model_bytes: of the graph or checkpoint with its weights; 0 where there is no file.
        memory: bytes of main memory of this process: ``before`` loading, at the ``peak``, and ``added`` by the model.
        images: how many different ones were asked about, and their ``(height, width)`` if they are all alike.
        notes: what the reader should know.
    """

    measured: Literal["artefact", "model"]
    model: str
    runtime: str
    device: str
    precision: str
    hint: str
    batch_size: int
    streams: int
    threads: int
    seconds: float
    stages: dict[str, dict[str, Any]]
    load_seconds: float
    first_seconds: float
    model_bytes: int
    memory: dict[str, int]
    images: dict[str, Any]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
