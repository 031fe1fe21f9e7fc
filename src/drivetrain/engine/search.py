"""Searching options and a batch size for an engine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.train_options import check_options, effective_options, for_framework, repeatable
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.launch.setup import Setup
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.models.catalog import argument_names
from drivetrain.tuning import SearchOptions, SearchSubject, applied, search
from drivetrain.tuning.batch_size import choose
from drivetrain.types import TuneResult
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.runs.run import Run

_OF_THE_ENGINE = ("model", "data", "task", "device", "engine", "model_args", "data_args")
_ONCE = ("resume", "overwrite", "run_hpo", "hpo_config")
_NOT_IN_TRIALS = (*_ONCE, "callbacks", "logger", "adaptive_bs")


def search_subject(engine: EngineState) -> SearchSubject:
    """The engine from the point of view of a search."""
    return SearchSubject(
        setup=setup_of(engine),
        space=engine.framework.search_space(),
        model_arguments=_model_arguments(engine),
        identity={
            "engine": engine.spec.name,
            "model": engine.setup.model_name,
            "model_args": engine.model_args,
            "data": engine.data.name if engine.has_native_data else engine.dataset.fingerprint,
        },
        progress=engine.progress,
        main_metric=lambda: _main_metric(engine),
        check=lambda options: check_options(engine, for_framework(options)),
        config=lambda options: _config(engine, options),
    )


def setup_of(engine: EngineState) -> Setup:
    """The setup with which another process creates the engine, for its known task."""
    known = engine.framework.known_task
    return replace(engine.setup, task=known.value if known is not None else None)


def _model_arguments(engine: EngineState) -> Sequence[str] | None:
    """The arguments of the model's constructor; ``None`` if unknown."""
    if not engine.setup.takes_model_args:
        return ()
    return argument_names(engine.resolution.model, engine.spec.sources)


def _main_metric(engine: EngineState) -> str:
    """The metric that trials are compared by, if none is requested.

    Raises:
        OptionError: the task is unknown.
    """
    try:
        return f"val/{engine.task.main_metric}"
    except OptionError as error:
        raise OptionError(
            "metric=... is required to compare the trials: the name of a validation metric that the model logs, such "
            "as 'val_loss'."
        ) from error


def _config(engine: EngineState, options: TrainOptions) -> dict[str, Any]:
    """The options as a config for ``--config``, with model and data if they can be written down."""
    known = {**(engine.config or repeatable(engine, options) or {}), **options.given()}
    names = {*_OF_THE_ENGINE, *TrainOptions.names()} - set(_ONCE)
    return {name: value for name, value in known.items() if name in names and value is not None}


def default_space(engine: EngineState, given: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's own search space, without the options that the user has set.

    Raises:
        OptionError: nothing is left of it.
    """
    fixed = {*given, *(f"model.{name}" for name in engine.setup.model_args)}
    fixed |= {f"engine_args.{name}" for name in given.get("engine_args") or {}}
    whole = engine.framework.search_space()
    free = {name: values for name, values in whole.items() if name not in fixed}
    if whole and not free:
        raise OptionError(
            f"There is nothing to search: {', '.join(whole)} would be searched, but all are set. Leave one of them "
            "out, or give a space."
        )
    return free


def search_options(engine: EngineState, options: TrainOptions, how: SearchOptions, *, overwrite: bool) -> TuneResult:
    """Search in the work dir of the engine or, without one, in a folder determined by the search itself.

    Raises:
        UnsupportedOptionError: each trial would train on several devices.
    """
    if engine.framework.device_count(options) > 1:
        raise UnsupportedOptionError(
            f"devices={options.devices!r} cannot be honoured by a search: each trial trains on one device. Give "
            "workers=2 for two trials at a time."
        )
    with explained(engine.given_work_dir or Path("runs"), WORK_DIR):
        return search(search_subject(engine), options, how, engine.given_work_dir, overwrite=overwrite)


def search_before(engine: EngineState, given: Mapping[str, Any], options: TrainOptions, run: Run) -> TrainOptions:
    """Search before a training, in the folder "tuning" of its work dir.

    Args:
        engine: the engine whose model gets the best arguments.
        given: the options given by the user.
        options: the options of the training.
        run: the run of the training.

    Returns:
        The options with the best values found.
    """
    how = SearchOptions.from_config(options.hpo_config)
    how = replace(how, space=how.space or default_space(engine, given) or None)
    final = replace(options, run_hpo=False, hpo_config=None)
    same = {name: value for name, value in given.items() if name not in _NOT_IN_TRIALS}
    shared = effective_options(engine, same, searched=how.space or ())
    shared = replace(shared, callbacks=None, logger=None, adaptive_bs="none")
    result = search(search_subject(engine), shared, how, run.directory / "tuning", overwrite=options.overwrite)
    final, model_args = applied(result.best, final)
    engine.use_model_args(model_args)
    named = {"model_args": engine.model_args} if engine.model_args else {}
    engine.config = {**_config(engine, final), **named}
    values = ", ".join(f"{name}={value!r}" for name, value in result.best.items())
    run.note(f"The search of {len(result.trials)} trials chose {values} ({result.metric} {result.value:.4g}).")
    return final


def with_fitting_batch(engine: EngineState, options: TrainOptions, run: Run) -> TrainOptions:
    """The options with the batch size found by ``adaptive_bs``; the run notes how it was found."""
    with tempfile.NamedTemporaryFile(prefix="drivetrain-", suffix=".log") as log:
        found = choose(setup_of(engine), engine.dataset, options, log=Path(log.name))
    run.note(f"adaptive_bs={options.adaptive_bs!r}: {found}.")
    return replace(options, batch_size=found.batch_size)
