"""Tune: search for the best options and model arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.early import Start, check_checkpoint, check_data, check_limits
from drivetrain.engine.state import EngineState
from drivetrain.engine.train_options import effective_options, given_options
from drivetrain.runs.place import check_for_search
from drivetrain.types.options import Precision, Pruner, Sampler, TrainOptions

if TYPE_CHECKING:
    from drivetrain.types import TuneResult

NEEDS = ("fit",)


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    from drivetrain.tuning import SearchOptions
    from drivetrain.tuning.space import applied, check_space, parse_space

    options = TrainOptions(**_of_trials(given))
    how = SearchOptions(**{name: given[name] for name in SearchOptions.names()})
    corners = [options]
    if how.space is not None:
        space = parse_space(how.space)
        check_space(space, options, (), None)
        corners = [applied({name: item.corners[end] for name, item in space.items()}, options)[0] for end in (0, -1)]
    if start.given_work_dir is not None:
        check_for_search(start.given_work_dir)
    if options.checkpoint is not None:
        check_checkpoint(start, options.checkpoint)
    for corner in corners:
        check_limits(start, corner)
    check_data(start, " to train on")


def tune(
    self: EngineState,
    max_epochs: int | None = None,
    *,
    space: Mapping[str, Any] | None = None,
    trials: int = 20,
    workers: int = 1,
    time_budget: float | None = None,
    pruner: Pruner = "halving",
    sampler: Sampler = "tpe",
    metric: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    image_size: int | tuple[int, int] | None = None,
    seed: int | None = None,
    deterministic: bool | None = None,
    precision: Precision | None = None,
    patience: int | None = None,
    val_check_interval: int | float | None = None,
    check_val_every_n_epoch: int | None = None,
    num_workers: int | None = None,
    devices: int | Sequence[int] | None = None,
    checkpoint: str | Path | None = None,
    overwrite: bool = False,
    engine_args: Mapping[str, Any] | None = None,
) -> TuneResult:
    """Search for the best options and model arguments; a search that was stopped or killed is resumed.

    Repeating the call continues the search in its work dir; without a work dir, it is "runs/tune-..." with the same
    name each time. Given options are the same for all trials.

    Args:
        max_epochs: epochs per trial.
        space: what to search: options of train, "model.NAME" and "engine_args.NAME", each with a list of values or
            {low, high, log, step}; by default the engine's own.
        trials: the number of trials.
        workers: how many trials run at the same time, each in a separate process.
        time_budget: seconds after which no trial starts and running ones stop.
        pruner: stops trials early: "halving" (successive halving), "median", or "none".
        sampler: proposes values: "tpe" (based on earlier results) or "random".
        metric: the validation metric that trials are compared by, such as "val/accuracy".
        batch_size: images per step.
        learning_rate: the highest learning rate of the schedule.
        image_size: size of the model input in pixels, one number or (height, width).
        seed: seed of everything random, including the proposals.
        deterministic: use only deterministic algorithms.
        precision: "fp32", "fp16" or "bf16" mixed precision, or "auto" for what suits the device.
        patience: stop a trial after this many validations without improvement.
        val_check_interval: validate within an epoch: after a fraction of it (0.5), or a number of batches (100).
        check_val_every_n_epoch: validate every this many epochs.
        num_workers: processes or threads that load data.
        devices: how many devices, or which.
        checkpoint: start each trial from the weights of this checkpoint.
        overwrite: start over if the work dir holds a search.
        engine_args: passed unchanged to the upstream trainer; checked against its own options.

    Returns:
        The best values, the configuration that repeats them, and every trial with the options it actually used.

    Raises:
        OptionError: an option or the space has a wrong name or value, or cannot be honoured by this engine.
        WorkDirError: the work dir holds a different search, or another process is using it.
        DrivetrainError: no trial gave a result.
        TrainingInterrupted: stopped by Ctrl-C; the same call continues the search.
    """
    arguments = locals()
    given = _of_trials(arguments)
    self.require("tune", NEEDS)
    self.data.require(" to train on")
    from drivetrain.engine.search import default_space, search_options
    from drivetrain.tuning import SearchOptions

    searched = default_space(self, given) if space is None else space
    how = SearchOptions(**{**{name: arguments[name] for name in SearchOptions.names()}, "space": searched or None})
    return search_options(self, effective_options(self, given, searched=searched), how, overwrite=overwrite)


def _of_trials(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the trainings; ``overwrite`` and ``sampler`` apply to the search here."""
    return {name: value for name, value in given_options(arguments).items() if name not in ("overwrite", "sampler")}
