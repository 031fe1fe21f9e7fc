"""Train: write the record, run the framework's own trainer, write the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.data import SHOWN, describe_dataset
from drivetrain.engine.early import Start, check_checkpoint, check_data, check_limits, check_tiles
from drivetrain.engine.explained_fit import fit_explained
from drivetrain.engine.framework import FitResult
from drivetrain.engine.losses import require_numbers
from drivetrain.engine.ranked import check_several, placed, train_in_rank, train_on_ranks
from drivetrain.engine.resumed_run import (
    check_same_run,
    compare_with_record,
    keep_device,
    require_other_folder,
    said_of_stopped,
)
from drivetrain.engine.run_report import report_training
from drivetrain.engine.state import EngineState
from drivetrain.engine.train_options import check_options, effective_options, for_framework, given_options, repeatable
from drivetrain.errors import OptionError, TrainingInterrupted, TrialPruned
from drivetrain.launch.ranks import Ranks, follows
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.machine.openmp import free_threads
from drivetrain.runs.place import check_place
from drivetrain.runs.progress import terminal_width
from drivetrain.runs.record import RunRecord
from drivetrain.runs.tracking import open_trackers, require_trackers
from drivetrain.types.options import AdaptiveBatchSize, Balanced, Precision, Tile, TrainOptions

if TYPE_CHECKING:
    from drivetrain.runs.run import Run
    from drivetrain.types import TrainResult

NEEDS = ("fit",)
_PICTURES = 4


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    options = TrainOptions(**given_options(given))
    if options.run_hpo:
        from drivetrain.tuning import SearchOptions

        SearchOptions.from_config(options.hpo_config)
    require_trackers(options.logger)
    if start.given_work_dir is not None and not follows():
        check_place(start.given_work_dir, resume=options.resume, overwrite=options.overwrite)
    if options.checkpoint is not None:
        check_checkpoint(start, options.checkpoint)
    check_tiles(options.tile)
    check_limits(start, options)
    check_data(start, " to train on")


def train(
    self: EngineState,
    max_epochs: int | None = None,
    *,
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
    nodes: int | None = None,
    callbacks: Sequence[Any] | None = None,
    logger: Any = None,
    metric: str | None = None,
    class_weights: Balanced | Mapping[str, float] | None = None,
    sampler: Balanced | None = None,
    tile: Tile | None = None,
    ema: float | None = None,
    freeze_backbone: bool | None = None,
    backbone_learning_rate: float | None = None,
    mosaic: float | None = None,
    scale_jitter: float | None = None,
    checkpoint: str | Path | None = None,
    resume: bool | None = None,
    overwrite: bool | None = None,
    run_hpo: bool | None = None,
    hpo_config: Mapping[str, Any] | None = None,
    adaptive_bs: AdaptiveBatchSize | None = None,
    engine_args: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train the model; options that are not given have the engine's own default.

    Args:
        max_epochs: number of passes through the training images.
        batch_size: images per step, over all devices.
        learning_rate: the highest learning rate of the schedule.
        image_size: size of the model input in pixels, one number or (height, width).
        seed: seed of everything random.
        deterministic: use only deterministic algorithms.
        precision: "fp32", "fp16" or "bf16" mixed precision, or "auto" for what suits the device.
        patience: stop after this many validations without improvement.
        val_check_interval: validate within an epoch: after a fraction of it (0.5), or a number of batches (100).
        check_val_every_n_epoch: validate every this many epochs.
        num_workers: processes or threads that load data.
        devices: how many devices of this machine, or which; each trains in a process of its own on its part of the
            batch.
        nodes: how many machines with as many devices each; the same command is started on every one.
        callbacks: instances of the framework's own callback class.
        logger: where to log the training: "tensorboard", "mlflow", "wandb", a logger object of the framework, or a
            list of these; the table "csv" is always written.
        metric: the validation metric that selects the best state, such as "val/accuracy".
        class_weights: weight of each class in the loss: "balanced" makes rare classes count as much as frequent
            ones; or weights by label, 1 for those omitted.
        sampler: "balanced" draws images of rare classes more often, so that each class is seen about equally often.
        tile: train on tiles cut from the images on the fly: the side in pixels of the image, or (side, overlap), or
            "auto" for what suits the sizes of the objects; validation merges the predictions on the tiles.
        ema: validate, save and use a moving average of the weights with this decay, such as 0.999.
        freeze_backbone: freeze the backbone and train the rest.
        backbone_learning_rate: the highest learning rate of the backbone; by default that of the rest.
        mosaic: the probability that a training image is composed of four (0..1).
        scale_jitter: scale training images up or down by up to this factor, such as 1.5.
        checkpoint: start from the weights of this checkpoint, even with different labels (matched by class name).
        resume: continue from the last state of the work dir.
        overwrite: replace the run in the work dir.
        run_hpo: search for the best options before training, in the folder "tuning" of the work dir.
        hpo_config: how to search: "space", "trials", "workers", "time_budget", "pruner", "sampler", as for tune.
        adaptive_bs: "safe" lowers the batch size to one that fits into memory, "full" uses the fastest that fits, both
            measured by short trainings; if memory still runs out, training continues with half of it, once.
        engine_args: passed unchanged to the upstream trainer; checked against its own options.

    Returns:
        The checkpoints, the metrics, the history, and the options that the upstream overrode.

    Raises:
        OptionError: an option has a wrong value, or cannot be honoured by this engine.
        DataError: the data cannot be used for training, or some of their images cannot be read.
        WorkDirError: the work dir is in use or not writable.
        CheckpointError: the checkpoint does not fit.
        TrainingInterrupted: stopped by Ctrl-C; the last state is saved.
        DrivetrainError: no loss was a finite number.
        StorageError: something cannot be written; the last good state is kept.
    """
    given = given_options(locals())
    self.require("train", NEEDS)
    ranks = Ranks.here()
    options = placed(effective_options(self, given), given, ranks)
    if options.resume:
        keep_device(self)
    check_options(self, for_framework(options, RunRecord.at(self.work_dir) if options.resume else None))
    trackers = open_trackers(options.logger)
    self.data.require(" to train on")
    require_other_folder(self)
    if not self.has_native_data:
        from drivetrain.data.trainable import require_trainable

        require_trainable(self.dataset, self.task)
    count = self.framework.device_count(options)
    check_several(self, options, count)
    if ranks is None and count * options.nodes > 1:
        return train_on_ranks(self, options, given, count)
    from drivetrain.runs.run import Run

    def open_run() -> Run:
        run = Run.open(self.work_dir, self.progress, resume=options.resume, overwrite=options.overwrite)
        run.trackers = trackers
        return run

    if ranks is not None:
        return train_in_rank(self, ranks, open_run, lambda run: _train(self, run, options, given))
    return _train(self, open_run(), options, given)


def _train(self: EngineState, run: Run, options: TrainOptions, given: Mapping[str, Any]) -> TrainResult:
    """Train in a work dir that is held, and close its run in any case."""
    try:
        with explained(self.work_dir, WORK_DIR):
            if options.run_hpo:
                from drivetrain.engine.search import search_before

                options = search_before(self, given, options, run)
            return _finish(self, run, _train_in(self, run, options, given))
    except KeyboardInterrupt as error:
        run.close("interrupted")
        raise TrainingInterrupted(said_of_stopped(RunRecord.at(self.work_dir))) from error
    except TrialPruned as error:
        run.close("pruned", error=str(error))
        raise
    except OptionError as error:
        run.refuse(f"{type(error).__name__}: {error}")
        raise
    except BaseException as error:
        run.close("failed", error=f"{type(error).__name__}: {error}")
        raise


def _train_in(engine: EngineState, run: Run, options: TrainOptions, given: Mapping[str, Any]) -> FitResult:
    """Prepare everything, record what is trained on which data, and train.

    Raises:
        CheckpointError: the work dir to resume holds a different run.
    """
    begun = RunRecord(run.directory, run.record)
    if options.resume:
        check_same_run(engine, run.record)
        compare_with_record(engine, run, given)
    if not engine.has_native_data:
        from drivetrain.data.trainable import unseen_labels

        for note in (*engine.dataset.notes, *unseen_labels(engine.dataset)):
            run.note(note)
    if engine.plan is not None:
        engine.progress.note(engine.plan.to_text(terminal_width()))
    inner = for_framework(options, begun)
    if options.resume and not inner.resume:
        run.start_over()
    if options.adaptive_bs != "none":
        from drivetrain.engine.search import with_fitting_batch

        inner = with_fitting_batch(engine, inner, run)
    engine.framework.build(inner)
    if inner.checkpoint is not None:
        start = engine.weights.find(inner.checkpoint, engine.given_work_dir)
        engine.framework.warm_start(start, run)
    asked = replace(inner, logger=options.logger)
    run.begin(_describe(engine, asked, run.record), config=_config_of(engine, asked, run, given))
    with free_threads(run.note, repeatable=bool(options.deterministic)):
        return fit_explained(engine, inner, run)


def _finish(engine: EngineState, run: Run, fit: FitResult) -> TrainResult:
    """Load the best state into the model, and close the run with its result, its report and its pictures."""
    from drivetrain.types.results import Metrics, TrainResult

    if follows():
        return TrainResult(fit.best_checkpoint, fit.last_checkpoint, Metrics({}), (), {}, run.directory, (), None, None)
    require_numbers(run, has_best=fit.best_checkpoint is not None)
    for note in fit.notes:
        run.note(note)
    for name, (asked, used) in fit.overrides.items():
        run.note(f"{name}={asked!r} was replaced by {used!r} by {engine.spec.name}.")
    best = next((record for record in run.history if record.epoch == fit.best_epoch), None)
    last = best or (run.history[-1] if run.history else None)
    weights = engine.weights
    weights.loaded, weights.chosen = fit.last_checkpoint, fit.best_checkpoint or fit.last_checkpoint
    if weights.chosen is not None:
        engine.select(None)
    result = TrainResult(
        fit.best_checkpoint,
        fit.last_checkpoint,
        Metrics(last.metrics if last else {}),
        tuple(run.history),
        fit.overrides,
        run.directory,
        tuple(run.notes),
        run.metric,
        None if best is None else best.epoch,
    )
    run.update(
        status="finished",
        checkpoints={"best": _relative(fit.best_checkpoint, run), "last": _relative(fit.last_checkpoint, run)},
        metrics=dict(result.metrics),
        overrides=fit.overrides,
        notes=run.notes,
    )
    _draw_answers(engine, run)
    run.update(report=report_training(engine, run.directory, run.record))
    run.close("finished")
    weights.run = RunRecord(run.directory, run.record)
    return result


def _config_of(
    engine: EngineState, options: TrainOptions, run: Run, given: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """A config that repeats this run, including what was chosen by the data.

    A resumed run keeps its original config, changed only by the options given now.
    """
    before = run.config() if given.get("resume") else None
    if before is not None:
        return {**before, **{name: value for name, value in given.items() if name not in ("resume", "callbacks")}}
    config = engine.config or repeatable(engine, options)
    if config is None or engine.plan is None:
        return config
    used = {
        name: getattr(options, name) for name in engine.plan.options
    }  # a search may have changed them in the meantime
    return {**engine.plan.written_into(config, engine.model_args), **used}


def _describe(engine: EngineState, options: TrainOptions, before: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``run.json`` before the run starts."""
    native, known = engine.has_native_data, engine.framework
    read_with = (engine.config or {}).get("data_args") or engine.setup.data_args
    names = list(engine.label_names) if known.known_label_names is not None or not native else None
    return {
        "engine": engine.spec.name,
        "model": {"name": engine.setup.model_name, "args": engine.model_args},
        "device": engine.device,
        "task": engine.task.value if known.known_task is not None or not native else None,
        "label_names": names,
        "licences": known.licences(),
        "options": {name: getattr(options, name) for name in TrainOptions.names()},
        "data": engine.data.name if native else describe_dataset(engine.dataset, read_with, engine.setup.task),
        **({"plan": before["plan"]} if "plan" in before else {}),
        **({"plan": engine.plan.to_dict()} if engine.plan is not None else {}),
    }


def _draw_answers(engine: EngineState, run: Run) -> None:
    """Draw a few predictions for validation images in the work dir, if the run is tracked."""
    if not run.trackers or engine.has_native_data:
        return
    subset = next((name for name in SHOWN if name in engine.dataset.subsets), None)
    if subset is None:
        return
    from drivetrain.images.stream import ImageStream
    from drivetrain.report import save_drawings

    answers = engine.answer(ImageStream(engine.dataset.subset(subset).paths[:_PICTURES]))
    save_drawings(answers, run.directory / "tracking" / "pictures")


def _relative(path: Path | None, run: Run) -> str | None:
    """The path relative to the work dir of the run, if it is inside."""
    if path is None:
        return None
    return str(path.relative_to(run.directory)) if path.is_relative_to(run.directory) else str(path)
