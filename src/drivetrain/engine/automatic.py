"""An engine as the search for options sees it: how to make it again, what it takes, and how to write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drivetrain.engine.describe import describe_data
from drivetrain.engine.tracked import for_framework
from drivetrain.engine.training import repeatable
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import argument_names
from drivetrain.runs.progress import Progress
from drivetrain.tuning import SearchOptions, applied, search
from drivetrain.types import Task, TuneResult
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.base import Engine
    from drivetrain.runs.run import Run

_OF_THE_ENGINE = ("model", "data", "task", "device", "engine", "model_args", "data_args")
_ONCE = ("resume", "overwrite", "run_hpo", "hpo_config")


class Tuned:
    """What a search asks of an engine; see :class:`drivetrain.tuning.Tunable`.

    Args:
        engine: whose model and data are used.
    """

    def __init__(self, engine: Engine) -> None:
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
        return self._engine._search_space()

    def setup(self) -> Setup:
        """How another process makes the engine."""
        engine, cls = self._engine, type(self._engine)
        task = engine._task.value if engine._task is not None else None
        path = f"{cls.__module__}:{cls.__qualname__}"
        return Setup(path, engine._given_model, engine._data, task, engine.device, engine.model_args)

    def check_train_options(self, options: TrainOptions) -> None:
        """Refuse options that the engine cannot honour.

        Raises:
            OptionError: naming the first of them.
        """
        self._engine._check_options(for_framework(options))

    def model_argument_names(self) -> Sequence[str] | None:
        """The arguments of the model's constructor; ``None`` if they are not known."""
        engine = self._engine
        return argument_names(engine.resolution.model, engine.spec.sources) if engine._takes_model_args() else ()

    def repeatable_config(self, options: TrainOptions) -> dict[str, Any]:
        """The options as a config that ``--config`` takes, with model and data where they can be written down."""
        engine = self._engine
        known = {**(engine.config or repeatable(engine, options) or {}), **options.given()}
        names = {*_OF_THE_ENGINE, *TrainOptions.names()} - set(_ONCE)
        return {name: value for name, value in known.items() if name in names and value is not None}

    def fingerprint_of_run(self) -> dict[str, Any]:
        """Model and data as plain data, to tell whether a search is the same as an earlier one."""
        engine = self._engine
        data = describe_data(engine._data) if engine.has_native_data else engine.dataset.fingerprint
        return {"engine": engine.spec.name, "model": engine._model_text, "model_args": engine.model_args, "data": data}


def tune(engine: Engine, options: TrainOptions, how: SearchOptions, *, overwrite: bool) -> TuneResult:
    """Search in the work dir of the engine, or, without one, in a folder that is the same for the same search."""
    return search(Tuned(engine), options, how, engine._work_dir, overwrite=overwrite)


def tune_before(engine: Engine, options: TrainOptions, run: Run) -> TrainOptions:
    """Search before a training, in the folder "tuning" of its work dir.

    Args:
        engine: whose model gets its best arguments.
        options: of the training.
        run: of the training.

    Returns:
        The options with their best values.
    """
    final = replace(options, run_hpo=False, hpo_config=None)
    shared = replace(final, callbacks=None, logger=None, resume=False, overwrite=False, adaptive_bs="none")
    how = SearchOptions.from_config(options.hpo_config)
    tunable = Tuned(engine)
    result = search(tunable, shared, how, run.directory / "tuning", overwrite=options.overwrite)
    final, model_args = applied(result.best, final)
    engine.model_args.update(model_args)
    named = {"model_args": engine.model_args} if engine.model_args else {}
    engine.config = {**tunable.repeatable_config(final), **named}
    values = ", ".join(f"{name}={value!r}" for name, value in result.best.items())
    run.note(f"The search of {len(result.trials)} trials chose {values} ({result.metric} {result.value:.4g}).")
    return final


def check_hpo_config(config: Mapping[str, Any] | None) -> None:
    """Refuse an ``hpo_config`` with a wrong key or value.

    Raises:
        OptionError: with the nearest key that there is.
    """
    SearchOptions.from_config(config)
