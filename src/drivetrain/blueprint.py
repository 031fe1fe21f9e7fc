"""How another process makes the same engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from drivetrain._lazy import import_object
from drivetrain.progress import Progress
from drivetrain.types import TrainResult


class Trainable(Protocol):
    """An engine that was made by its blueprint, to be trained."""

    progress: Progress

    @property
    def train(self) -> Callable[..., TrainResult]:
        """Train; see :meth:`drivetrain.Engine.train`."""

    def used_value(self, name: str) -> Any:
        """What the training really used for an option, ``"model.NAME"`` or ``"engine_args.NAME"``.

        Raises:
            KeyError: the framework does not tell.
        """


@dataclass(frozen=True, slots=True)
class Blueprint:
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

    def make(self, work_dir: Path) -> Trainable:
        """A new engine that writes into a folder of its own."""
        made: Trainable = import_object(self.engine)(
            self.model,
            self.data,
            task=self.task,
            work_dir=work_dir,
            device=self.device,
            model_args=dict(self.model_args) or None,
        )
        return made

    def with_model_args(self, changes: Mapping[str, Any]) -> Blueprint:
        """The same with other arguments of the model."""
        return replace(self, model_args={**self.model_args, **changes})
