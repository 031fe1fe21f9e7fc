"""What a comparison of models found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from drivetrain.types.results import lower_is_better
from drivetrain.types.task import Task

ComparedState = Literal["waiting", "running", "finished", "failed"]


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One row of a comparison: a deployed model with its accuracy, speed, size and licences.

    Accuracy, speed and size are those of the same file, :attr:`artifact`; where a model cannot be exported, they are
    those of the model in its framework.

    Attributes:
        name: distinct within the comparison; a lighter variant has its precision behind it.
        engine: the engine that serves it.
        state: ``"failed"`` if it could not be trained, measured or exported; the other fields then say how far it came.
        error: the reason for a failure.
        work_dir: the run; ``""`` for an artefact that was given.
        artifact: the folder of the artefact; ``""`` if the model cannot be exported.
        precision: of the stored weights, as of an artefact; ``""`` if the model cannot be exported.
        trained: whether it was trained here, or taken as it was.
        epochs: epochs that were trained; ``None`` where not known.
        train_seconds: time of the training, with the epoch that was measured to find how many fit the budget.
        metrics: of :attr:`artifact` on the test images.
        model_metrics: of the model in its framework on the same images.
        per_class: metric -> label -> value, of :attr:`artifact`.
        latency_ms: median time of one image from memory to prediction; ``None`` if it was not measured.
        images_per_second: from files to predictions.
        model_bytes: of the graph with its weights.
        memory_bytes: main memory that loading and running it added.
        licences: of ``"code"`` and published ``"weights"``.
        notes: what the reader should know.
    """

    name: str
    engine: str = ""
    state: ComparedState = "waiting"
    error: str = ""
    work_dir: str = ""
    artifact: str = ""
    precision: str = ""
    trained: bool = False
    epochs: int | None = None
    train_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    model_metrics: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    latency_ms: float | None = None
    images_per_second: float | None = None
    model_bytes: int = 0
    memory_bytes: int = 0
    licences: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The row that :func:`dataclasses.asdict` turned into plain data; NaN is ``None`` there."""
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        for name in ("metrics", "model_metrics"):
            values[name] = _numbers(values.get(name) or {})
        values["per_class"] = {name: _numbers(row) for name, row in (values.get("per_class") or {}).items()}
        return cls(**{**values, "notes": tuple(values.get("notes") or ())})


def _numbers(plain: Mapping[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in plain.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models of any framework, measured on the same images.

    Attributes:
        models: one row for each, in the order given.
        task: what they answer.
        metric: that they are ranked by.
        source: where the data were read.
        images: number of test images.
        work_dir: the folder with the runs, ``comparison.json`` and ``report.html``.
        budget: seconds for all trainings together; ``None`` without one.
    """

    models: tuple[ComparedModel, ...]
    task: Task
    metric: str
    source: str
    images: int
    work_dir: Path
    budget: float | None = None

    @property
    def report(self) -> Path:
        """The page."""
        return self.work_dir / "report.html"

    @property
    def ranked(self) -> tuple[ComparedModel, ...]:
        """The rows that have a value of the metric, the best first, and of equal ones the fastest."""
        known = [row for row in self.models if not math.isnan(row.metrics.get(self.metric, math.nan))]
        sign = 1 if lower_is_better(self.metric) else -1
        return tuple(sorted(known, key=lambda row: (sign * row.metrics[self.metric], row.latency_ms or math.inf)))

    @property
    def front(self) -> tuple[ComparedModel, ...]:
        """The rows that no other is both as accurate and as fast as, and better in one of the two; the best first."""
        fast = [row for row in self.ranked if row.latency_ms is not None]
        found: list[ComparedModel] = []
        for row in sorted(fast, key=lambda row: (self._loss(row), row.latency_ms or 0.0)):
            if all((row.latency_ms or 0.0) < (other.latency_ms or 0.0) for other in found):
                found.append(row)
        return tuple(found)

    def _loss(self, row: ComparedModel) -> float:
        value = row.metrics[self.metric]
        return value if lower_is_better(self.metric) else -value

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "task": self.task.value,
            "metric": self.metric,
            "source": self.source,
            "images": self.images,
            "work_dir": str(self.work_dir),
            "report": str(self.report),
            "budget": self.budget,
            "front": [row.name for row in self.front],
            "models": [asdict(row) for row in self.models],
        }

    def __repr__(self) -> str:
        best: Sequence[ComparedModel] = self.ranked[:1]
        said = f", best {best[0].name} with {self.metric}={best[0].metrics[self.metric]:.4f}" if best else ""
        return f"Comparison({len(self.models)} models on {self.images} images{said}, report={str(self.report)!r})"
