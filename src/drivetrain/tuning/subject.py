"""What a search needs to know of the engine whose options it searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivetrain.launch.setup import Setup
from drivetrain.runs.progress import Progress
from drivetrain.types.options import TrainOptions


@dataclass(frozen=True, slots=True)
class SearchSubject:
    """An engine as a search sees it; it is not trained itself.

    Attributes:
        setup: how another process makes the engine.
        space: what to search where the user says nothing, in the form of ``space``.
        model_arguments: of the model's constructor; ``None`` if they are not known.
        identity: model and data as plain data, to tell whether a search is the same as an earlier one.
        progress: where notes are shown.
        main_metric: asked for the metric to compare trials by; raises OptionError where the task is not known.
        check: refuses options that the engine cannot honour.
        config: the options as a config that ``--config`` takes, with model and data where they can be written down.
    """

    setup: Setup
    space: Mapping[str, Any]
    model_arguments: Sequence[str] | None
    identity: Mapping[str, Any]
    progress: Progress
    main_metric: Callable[[], str]
    check: Callable[[TrainOptions], None]
    config: Callable[[TrainOptions], dict[str, Any]]
