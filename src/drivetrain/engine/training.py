"""What ``train`` does around the framework's own trainer: the record before it, the result after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.describe import describe_data, describe_dataset, relative
from drivetrain.engine.hooks import FitResult
from drivetrain.engine.tracked import draw_answers, for_framework, is_plain
from drivetrain.errors import CheckpointError, DataError
from drivetrain.runs.progress import terminal_width
from drivetrain.runs.record import RecordedRun
from drivetrain.types.options import TrainOptions
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.engine.base import Engine
    from drivetrain.runs.run import Run
    from drivetrain.types import TrainResult


def train_in(engine: Engine, run: Run, options: TrainOptions) -> FitResult:
    """Make everything ready, write down what is trained on what, and train.

    Raises:
        DataError: there are no training images.
        CheckpointError: the work dir that is to be resumed holds another run.
    """
    if options.resume:
        _check_same_run(engine, run.record)
    if not engine.has_native_data:
        _require_training_images(engine)
        for note in engine.dataset.notes:
            run.note(note)
    if engine.plan is not None:
        engine.progress.note(engine.plan.to_text(terminal_width()))
    from drivetrain.engine.memory import fit_surviving, with_fitting_batch

    inner = for_framework(options)
    if options.adaptive_bs != "none":
        inner = with_fitting_batch(engine, inner, run)
    engine._build(inner)
    if options.checkpoint is not None:
        engine._warm_start(engine._find_checkpoint(options.checkpoint), run)
    asked = replace(inner, logger=options.logger)
    run.begin(_describe(engine, asked), config=_config_of(engine, asked))
    return fit_surviving(engine, inner, run)


def finish(engine: Engine, run: Run, fit: FitResult) -> TrainResult:
    """Bring the model into its best state, and close the run with its result, its report and its pictures."""
    from drivetrain.types.results import Metrics, TrainResult

    for note in fit.notes:
        run.note(note)
    for name, (asked, used) in fit.overrides.items():
        run.note(f"{name}={asked!r} was replaced by {used!r} by {engine.spec.name}.")
    best = next((record for record in run.history if record.epoch == fit.best_epoch), None)
    chosen = best or (run.history[-1] if run.history else None)
    engine._state = fit.last_checkpoint
    engine._chosen = fit.best_checkpoint or fit.last_checkpoint
    if engine._chosen is not None and engine._chosen != engine._state:
        engine._load_state(engine._chosen)
        engine._state = engine._chosen
    result = TrainResult(
        fit.best_checkpoint,
        fit.last_checkpoint,
        Metrics(chosen.metrics if chosen else {}),
        tuple(run.history),
        fit.overrides,
        run.directory,
        tuple(run.notes),
    )
    run.update(
        status="finished",
        checkpoints={"best": relative(fit.best_checkpoint, run), "last": relative(fit.last_checkpoint, run)},
        metrics=dict(result.metrics),
        overrides=fit.overrides,
    )
    draw_answers(engine, run)
    _write_report(engine, run, result)
    run.close("finished")
    engine._recorded = RecordedRun(run.directory, run.record)
    return result


def repeatable(engine: Engine, options: TrainOptions) -> dict[str, Any] | None:
    """What repeats this run as a config; ``None`` for models and data that only exist in this process."""
    model, data = engine._model_text, engine._data
    kept = {name: value for name, value in options.given().items() if name not in ("resume", "overwrite")}
    objects = not engine._takes_model_args() or not isinstance(data, str | Path)
    if objects or kept.get("callbacks") or not is_plain(kept.get("logger")):
        return None
    config = {"model": model, "data": str(Path(data).expanduser().absolute()), "model_args": engine.model_args}
    if engine._task is not None:
        config["task"] = engine._task.value
    return {**{name: value for name, value in config.items() if value}, **kept}


def _config_of(engine: Engine, options: TrainOptions) -> Mapping[str, Any] | None:
    """What repeats this run; what was chosen by the data is written out."""
    config = engine.config or repeatable(engine, options)
    if config is None or engine.plan is None:
        return config
    used = {name: getattr(options, name) for name in engine.plan.options}  # a search may have changed them since
    return {**engine.plan.written_into(config, engine.model_args), **used}


def _require_training_images(engine: Engine) -> None:
    if "train" not in engine.dataset.subsets:
        found = ", ".join(f"{name} ({count})" for name, count in engine.dataset.subsets.items())
        normal = " An anomaly model trains on normal images only." if engine.task is Task.ANOMALY else ""
        raise DataError(f"The data have no training image; their subsets are: {found}.{normal}")


def _describe(engine: Engine, options: TrainOptions) -> dict[str, Any]:
    """What ``run.json`` says about the run before it starts."""
    native = engine.has_native_data
    return {
        "engine": engine.spec.name,
        "model": {"name": engine._model_text, "args": engine.model_args},
        "task": engine.task.value if engine._task is not None or not native else None,
        "label_names": list(engine.label_names) if engine._label_names is not None or not native else None,
        "options": {name: getattr(options, name) for name in TrainOptions.names()},
        "data": describe_data(engine._data) if native else describe_dataset(engine.dataset),
        **({"plan": engine.plan.to_dict()} if engine.plan is not None else {}),
    }


def _check_same_run(engine: Engine, record: Mapping[str, Any]) -> None:
    for what, ours, theirs in (
        ("engine", engine.spec.name, record.get("engine")),
        ("model", engine._model_text, record.get("model", {}).get("name")),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"resume=True: the work dir {str(engine.work_dir)!r} holds a run of {what} {theirs!r}, not {ours!r}. "
                "Give the same model, or another work_dir."
            )


def _write_report(engine: Engine, run: Run, result: TrainResult) -> None:
    from drivetrain.report import write_report

    write_report(
        run.directory / "report.html",
        title=f"{engine._model_text} on {describe_data(engine._data)}",
        run=run.record,
        metrics=result.metrics,
        history=result.history,
        notes=result.notes,
    )
