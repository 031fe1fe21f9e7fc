"""What a search needs to know about the engine whose options it searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivetrain.launch.setup import Setup
from drivetrain.runs.progress import Progress
from drivetrain.types.options import TrainOptions


@dataclass(frozen=True, slots=True)
class SearchSubject:
    """An engine from the point of view of a search; the engine itself is not trained.

    Attributes:
        setup: how another process creates the engine.
        space: the default search space, in the form of the option ``space``.
        model_arguments: the arguments of the model's constructor; ``None`` if unknown.
        identity: model and data as plain data, to detect whether a search is the same as an earlier one.
        progress: displays notes.
        main_metric: returns the metric to compare trials by; raises OptionError if the task is unknown.
        check: refuses options that the engine cannot honour.
        config: returns the options as a config for ``--config``, with model and data if they can be written down.
    """

    setup: Setup
    space: Mapping[str, Any]
    model_arguments: Sequence[str] | None
    identity: Mapping[str, Any]
    progress: Progress
    main_metric: Callable[[], str]
    check: Callable[[TrainOptions], None]
    config: Callable[[TrainOptions], dict[str, Any]]
