"""What a search needs of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from drivetrain.launch.setup import Setup
from drivetrain.runs.progress import Progress
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions


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

    def setup(self) -> Setup:
        """How another process makes the engine."""

    def check_train_options(self, options: TrainOptions) -> None:
        """Refuse options that the engine cannot honour."""

    def model_argument_names(self) -> Sequence[str] | None:
        """The arguments of the model's constructor; ``None`` if they are not known."""

    def repeatable_config(self, options: TrainOptions) -> dict[str, Any]:
        """The options as a config that ``--config`` takes, with model and data where they can be written down."""

    def fingerprint_of_run(self) -> dict[str, Any]:
        """Model and data as plain data, to tell whether a search is the same as an earlier one."""
