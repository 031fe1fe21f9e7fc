"""What a search needs of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from drivetrain._lazy import import_object
from drivetrain.options import TrainOptions
from drivetrain.progress import Progress
from drivetrain.types import Task, TrainResult


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

    def make(self, work_dir: Path) -> Trial:
        """A new engine that writes into a folder of its own."""
        made: Trial = import_object(self.engine)(
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


class Trial(Protocol):
    """An engine that is trained in a trial."""

    progress: Progress

    @property
    def train(self) -> Callable[..., TrainResult]:
        """Train; see :meth:`drivetrain.Engine.train`."""

    def used_value(self, name: str) -> Any:
        """What the training really used for an option, ``"model.NAME"`` or ``"engine_args.NAME"``.

        Raises:
            KeyError: the framework does not tell.
        """


class Tunable(Protocol):
    """The engine whose options are searched; it is not trained itself."""

    @property
    def progress(self) -> Progress:
        """Where notes are shown."""

    @property
    def task(self) -> Task:
        """What the model is trained for.

        Raises:
            OptionError: it is not known.
        """

    @property
    def search_space(self) -> Mapping[str, Any]:
        """What to search where the user says nothing, in the form of ``space``."""

    def blueprint(self) -> Blueprint:
        """How another process makes the engine."""

    def check_train_options(self, options: TrainOptions) -> None:
        """Refuse options that the engine cannot honour."""

    def model_argument_names(self) -> Sequence[str] | None:
        """The arguments of the model's constructor; ``None`` if they are not known."""

    def repeatable_config(self, options: TrainOptions) -> dict[str, Any]:
        """The options as a config that ``--config`` takes, with model and data where they can be written down."""

    def fingerprint_of_run(self) -> dict[str, Any]:
        """Model and data as plain data, to tell whether a search is the same as an earlier one."""
