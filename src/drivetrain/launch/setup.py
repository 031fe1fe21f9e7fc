"""How another process makes the same engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import import_object


@dataclass(frozen=True, slots=True)
class Setup:
    """How another process makes the same engine.

    Attributes:
        engine: the class of the engine, ``"package.module:Class"``; importing it makes the engine known.
        model: as it was given to the engine.
        data: as they were given to the engine.
        task: what to train for, if it was said.
        device: to compute on.
        model_args: arguments of the model's constructor.
    """

    engine: str
    model: Any
    data: Any
    task: str | None
    device: str
    model_args: Mapping[str, Any]

    def make(self, work_dir: Path) -> Any:
        """A new engine that writes into a folder of its own."""
        return import_object(self.engine)(
            self.model,
            self.data,
            task=self.task,
            work_dir=work_dir,
            device=self.device,
            model_args=dict(self.model_args) or None,
        )

    def with_model_args(self, changes: Mapping[str, Any]) -> Setup:
        """The same with other arguments of the model."""
        return replace(self, model_args={**self.model_args, **changes})
