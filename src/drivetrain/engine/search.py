"""The search for options and for a batch size, over the engine at hand."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.train_options import check_options, effective_options, for_framework, repeatable
from drivetrain.errors import OptionError
from drivetrain.launch.setup import Setup
from drivetrain.machine.files import explained
from drivetrain.models.catalog import argument_names
from drivetrain.runs.progress import Progress
from drivetrain.tuning import SearchOptions, applied, search
from drivetrain.tuning.batch_size import choose
from drivetrain.types import Task, TuneResult
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.runs.run import Run

_OF_THE_ENGINE = ("model", "data", "task", "device", "engine", "model_args", "data_args")
_ONCE = ("resume", "overwrite", "run_hpo", "hpo_config")
_NOT_IN_TRIALS = (*_ONCE, "callbacks", "logger", "adaptive_bs")


class Tuned:
    """What a search needs of an engine; see :class:`drivetrain.tuning.Tunable`.

    Args:
        engine: whose model and data are used.
    """

    def __init__(self, engine: EngineState) -> None:
        self._engine = engine

    @property
    def progress(self) -> Progress:
        """Where notes are shown."""
        return self._engine.progress

    @property
    def task(self) -> Task:
        """What the model is trained for.

        Raises:
            OptionError: it is not known.
        """
        return self._engine.task

    @property
    def search_space(self) -> Mapping[str, Any]:
        """What is searched where the user says nothing."""
        return self._engine.framework.search_space()

    def setup(self) -> Setup:
        """How another process makes the engine."""
        known = self._engine.framework.known_task
        return replace(self._engine.setup, task=known.value if known is not None else None)

    def check_train_options(self, options: TrainOptions) -> None:
        """Refuse options that the engine cannot honour.

        Raises:
            OptionError: naming the first of them.
        """
        check_options(self._engine, for_framework(options))

    def model_argument_names(self) -> Sequence[str] | None:
        """The arguments of the model's constructor; ``None`` if they are not known."""
        engine = self._engine
        if not engine.setup.takes_model_args:
            return ()
        return argument_names(engine.resolution.model, engine.spec.sources)

    def repeatable_config(self, options: TrainOptions) -> dict[str, Any]:
        """The options as a config that ``--config`` takes, with model and data where they can be written down."""
        engine = self._engine
        known = {**(engine.config or repeatable(engine, options) or {}), **options.given()}
        names = {*_OF_THE_ENGINE, *TrainOptions.names()} - set(_ONCE)
        return {name: value for name, value in known.items() if name in names and value is not None}

    def fingerprint_of_run(self) -> dict[str, Any]:
        """Model and data as plain data, to tell whether a search is the same as an earlier one."""
        engine = self._engine
        return {
            "engine": engine.spec.name,
            "model": engine.setup.model_name,
            "model_args": engine.model_args,
            "data": engine.data.name if engine.has_native_data else engine.dataset.fingerprint,
        }


def default_space(engine: EngineState, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine searches by itself, without what the user fixed by giving a value.

    Raises:
        OptionError: nothing is left of it.
    """
    fixed = {*given, *(f"model.{name}" for name in engine.setup.model_args)}
    fixed |= {f"engine_args.{name}" for name in given.get("engine_args") or {}}
    whole = engine.framework.search_space()
    free = {name: values for name, values in whole.items() if name not in fixed}
    if whole and not free:
        raise OptionError(
            f"There is no space to search: {', '.join(whole)} would be searched, and each is given. Leave one of them "
            "out, or give a space."
        )
    return free


def search_options(engine: EngineState, options: TrainOptions, how: SearchOptions, *, overwrite: bool) -> TuneResult:
    """Search in the work dir of the engine, or, without one, in a folder that is the same for the same search."""
    with explained(engine.given_work_dir or Path("runs")):
        return search(Tuned(engine), options, how, engine.given_work_dir, overwrite=overwrite)


def search_before(engine: EngineState, given: Mapping[str, Any], options: TrainOptions, run: Run) -> TrainOptions:
    """Search before a training, in the folder "tuning" of its work dir.

    Args:
        engine: whose model gets its best arguments.
        given: the options that the user gave.
        options: of the training.
        run: of the training.

    Returns:
        The options with their best values.
    """
    how = SearchOptions.from_config(options.hpo_config)
    how = replace(how, space=how.space or default_space(engine, given) or None)
    final = replace(options, run_hpo=False, hpo_config=None)
    same = {name: value for name, value in given.items() if name not in _NOT_IN_TRIALS}
    shared = effective_options(engine, same, searched=how.space or ())
    shared = replace(shared, callbacks=None, logger=None, adaptive_bs="none")
    tuned = Tuned(engine)
    result = search(tuned, shared, how, run.directory / "tuning", overwrite=options.overwrite)
    final, model_args = applied(result.best, final)
    engine.use_model_args(model_args)
    named = {"model_args": engine.model_args} if engine.model_args else {}
    engine.config = {**tuned.repeatable_config(final), **named}
    values = ", ".join(f"{name}={value!r}" for name, value in result.best.items())
    run.note(f"The search of {len(result.trials)} trials chose {values} ({result.metric} {result.value:.4g}).")
    return final


def with_fitting_batch(engine: EngineState, options: TrainOptions, run: Run) -> TrainOptions:
    """The options with the batch size that ``adaptive_bs`` finds; the run notes how it was found."""
    with tempfile.NamedTemporaryFile(prefix="drivetrain-", suffix=".log") as log:
        found = choose(Tuned(engine).setup(), engine.dataset, options, log=Path(log.name))
    run.note(f"adaptive_bs={options.adaptive_bs!r}: {found}.")
    return replace(options, batch_size=found.batch_size)
