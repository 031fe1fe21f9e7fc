"""The result that an evaluator returns to ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from drivetrain.types import Prediction, Sample

Pairs = Iterator[tuple[Sample, Prediction]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The numbers of one evaluation.

    Attributes:
        values: scalar metrics.
        per_class: metric name -> label name -> value.
        tables: larger results.
        undefined: for each group of scalars that are NaN, which ones and why.
    """

    values: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    undefined: list[str] = field(default_factory=list)
