"""Training with Anomalib's engine: options, data, overridden options and results."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from anomalib import LearningType
from anomalib.data import AnomalibDataModule
from anomalib.engine import Engine as UpstreamEngine
from anomalib.engine.engine import UnassignedError
from anomalib.models.components import AnomalibModule
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping

from drivetrain.data import Dataset
from drivetrain.engine import FitResult
from drivetrain.engines.anomalib.build import is_memory_bank, learning_rate_argument
from drivetrain.engines.anomalib.deploy import image_spec
from drivetrain.engines.anomalib.effective_options import effective_options
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.engines.anomalib.requirements import eval_batch_size, need_of
from drivetrain.engines.anomalib.states import (
    LEARNING_METRICS,
    VALIDATION_METRICS,
    AnomalibRunCallback,
    ValidationMetrics,
    checkpoint_callbacks,
    interruptible,
)
from drivetrain.engines.anomalib.threshold import Prepared, ThresholdSource, prepare_training
from drivetrain.errors import OptionError, UnsupportedOptionError, either
from drivetrain.machine.device import choose_device
from drivetrain.machine.resources import core_count
from drivetrain.runs.run import Run
from drivetrain.torch_training.process import quieter
from drivetrain.torch_training.trainer import check_options as check_trainer_options
from drivetrain.torch_training.trainer import refusals_said, trainer_arguments, trainer_settings
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions, check_choice
from drivetrain.types.results import lower_is_better

ENGINE_ARGUMENTS: tuple[str, ...] = ("threshold_source", *trainer_arguments())
_PACKAGE = "lightning.pytorch"
_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "anomalib")
_DEFAULT_EPOCHS = 50
_TRAIN_BATCH = 32
_MANY_IMAGES = 1000


def torch_device(device: str) -> torch.device:
    """The device to compute on."""
    return torch.device(choose_device(device))


def check_options(
    options: TrainOptions,
    cls: type[AnomalibModule],
    given: Any,
    *,
    native: bool,
    device: str,
    begun: Mapping[str, Any],
) -> None:
    """Refuse what this model cannot honour, before anything is created.

    Args:
        options: the options of the training.
        cls: the class of the model.
        given: the model as given.
        native: whether the data are one of Anomalib's datamodules.
        device: the device to compute on.
        begun: the options of the run being resumed; they are already in its state.

    Raises:
        UnsupportedOptionError: an option cannot be honoured.
        OptionError: a value is not allowed.
    """
    name, ready = cls.__name__, isinstance(given, AnomalibModule | Path)
    reasons: dict[str, str] = {}
    if ready:
        reasons["image_size"] = "the model already exists, with its size; create another with " + either(
            f"{name}.configure_pre_processor((height, width))", f"--model {name} --image_size PIXELS"
        )
        reasons["learning_rate"] = "the model already exists; set it on the model"
    elif learning_rate_argument(cls) is None:
        reasons["learning_rate"] = f"{name} sets its own in configure_optimizers; override that in a subclass"
    if native:
        reasons["batch_size"] = "the datamodule has its own; set train_batch_size on it"
        reasons["num_workers"] = "the datamodule has its own; set num_workers on it"
    if is_memory_bank(cls):
        reasons["resume"] = (
            f"{name} stores features in one pass, so there is nothing to resume; train again with overwrite=True"
        )
        reasons["patience"] = f"{name} stores features in one pass, so there is nothing to stop early"
        reasons["val_check_interval"] = f"{name} validates once, after its pass"
        reasons["check_val_every_n_epoch"] = reasons["val_check_interval"]
    for option, value in options.given().items():
        if option in reasons and begun.get(option) != value:
            raise UnsupportedOptionError(f"{option}={value!r} cannot be honoured: {reasons[option]}.")
    check_trainer_options(options, device=device, package=_PACKAGE, usual_epochs=_DEFAULT_EPOCHS)
    if options.metric is not None:
        check_choice("metric", options.metric, (*VALIDATION_METRICS, *LEARNING_METRICS))
    source = (options.engine_args or {}).get("threshold_source", "auto")
    check_choice("threshold_source in engine_args", str(source), get_args(ThresholdSource))
    if native and source != "auto":
        raise UnsupportedOptionError(
            f"threshold_source={source!r} cannot be honoured: the datamodule has its own val_split_mode; set it there."
        )


def fit(
    model: AnomalibModule,
    data: Dataset | AnomalibDataModule,
    options: TrainOptions,
    run: Run,
    *,
    device: str,
    resume_from: Path | None,
) -> FitResult:
    """Train with Anomalib's engine.

    Args:
        model: the model to train.
        data: a data set with train and val subsets, or Anomalib's own data.
        options: the options of the training.
        run: receives steps, epochs and metrics.
        device: the device to train on.
        resume_from: the state to resume from.
    """
    prepared = _prepare(model, data, options)
    for note in prepared.notes:
        run.note(note)
    run.metric = metric = _metric(model, options, prepared)
    trainer_options = _trainer_options(model, options, run, metric, device)
    upstream = UpstreamEngine(**trainer_options, default_root_dir=run.directory / "upstream")
    _collect_references(model, prepared)
    given = _effective(model, prepared, trainer_options)
    run.update(effective_options=given)
    with interruptible(), quiet(), within_memory(), refusals_said(lambda: _trainer_of(upstream), _PACKAGE):
        upstream.fit(model, datamodule=prepared.module, ckpt_path=resume_from)
    run.update(effective_options={**given, **effective_options(upstream.trainer, model, options)})
    _drop_empty(run.directory / "upstream")
    last = run.checkpoints / "last.ckpt"
    best = run.checkpoints / "best.ckpt"
    chosen = best if metric is not None and best.is_file() else None
    return FitResult(
        chosen,
        last if last.is_file() else None,
        _best_epoch(run, metric) if chosen is not None else None,
        _overrides(model, options),
        _notes(model, options, upstream.trainer, metric),
    )


def _prepare(model: AnomalibModule, data: Dataset | AnomalibDataModule, options: TrainOptions) -> Prepared:
    if isinstance(data, AnomalibDataModule):
        data.prepare_data()
        data.setup()
        both = hasattr(data, "val_data") and data.val_data.has_normal and data.val_data.has_anomalous
        return Prepared(data, bool(both), _warnings(model, data))
    batch = need_of(type(model)).batch_size or _TRAIN_BATCH
    count = len(data)
    workers = 0 if count < _MANY_IMAGES else max(0, min(4, core_count() - 1))
    return prepare_training(
        data,
        batch_size=options.batch_size or batch,
        eval_batch_size=eval_batch_size(type(model)),
        num_workers=options.num_workers if options.num_workers is not None else workers,
        source=cast("ThresholdSource", (options.engine_args or {}).get("threshold_source", "auto")),
        seed=options.seed,
        spec=image_spec(model),
        keep_anomalous=bool(getattr(model, "supervised", False)),
        needs_training=model.learning_type != LearningType.ZERO_SHOT,
    )


def _warnings(model: AnomalibModule, data: AnomalibDataModule) -> tuple[str, ...]:
    """Notes about a user's own datamodule, which is not changed."""
    size = getattr(data, "eval_batch_size", 1)
    if not need_of(type(model)).alone or size == 1:
        return ()
    return (
        f"The scores of {model.name} depend on the other images of a batch, so its threshold, found in batches of "
        f"{size}, does not fit single images. Set eval_batch_size=1 on the datamodule.",
    )


def _metric(model: AnomalibModule, options: TrainOptions, prepared: Prepared) -> str | None:
    """The metric that selects the best state, or ``None`` if there is nothing to select by."""
    asked = options.metric or (f"val/{Task.ANOMALY.main_metric}" if prepared.can_choose else None)
    if asked in VALIDATION_METRICS and not prepared.can_choose:
        raise OptionError(
            f"metric={asked!r} needs normal and anomalous images in validation. Add some, or give "
            'engine_args={"threshold_source": "synthetic"}, or metric="train/loss".'
        )
    if options.patience is not None and asked is None:
        raise OptionError(
            f"patience={options.patience} needs a validation metric, but validation lacks normal or anomalous "
            'images. Add some, or give engine_args={"threshold_source": "synthetic"}, or metric="train/loss".'
        )
    return None if is_memory_bank(model) or model.learning_type != LearningType.ONE_CLASS else asked


def _trainer_options(
    model: AnomalibModule, options: TrainOptions, run: Run, metric: str | None, device: str
) -> dict[str, Any]:
    callbacks: list[Callback] = [
        ValidationMetrics(),
        *checkpoint_callbacks(run, metric),
        AnomalibRunCallback(run, model, options.seed),
    ]
    if options.patience is not None and metric is not None:
        mode = "min" if lower_is_better(metric) else "max"
        callbacks.append(EarlyStopping(metric, mode=mode, patience=options.patience, check_on_train_epoch_end=False))
    settings = trainer_settings(options, device=device, package=_PACKAGE)
    extra = {name: value for name, value in (options.engine_args or {}).items() if name != "threshold_source"}
    return {
        "max_epochs": _default_epochs(model),
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
        **settings,
        "callbacks": [*callbacks, *settings["callbacks"]],
        **extra,
    }


def _collect_references(model: AnomalibModule, prepared: Prepared) -> None:
    """Show a language model its normal examples; Anomalib 2.7 has the method but never calls it."""
    backend = getattr(model, "vlm_backend", None)
    if backend is None or not getattr(model, "k_shot", 0) or backend.num_reference_images:
        return
    prepared.module.setup()
    model.collect_reference_images(prepared.module.train_dataloader())


def _effective(model: AnomalibModule, prepared: Prepared, trainer_options: dict[str, Any]) -> dict[str, Any]:
    """The options that Anomalib's engine is actually given, for the record."""
    module = prepared.module
    rate = learning_rate_argument(type(model))
    return {
        **{name: value for name, value in trainer_options.items() if name not in ("callbacks", "logger")},
        **model.trainer_arguments,
        "batch_size": getattr(module, "train_batch_size", None),
        "eval_batch_size": getattr(module, "eval_batch_size", None),
        "num_workers": getattr(module, "num_workers", None),
        "image_size": list(model.input_size) if model.input_size else None,
        **({"learning_rate": model.hparams.get(rate)} if rate is not None else {}),
    }


def _default_epochs(model: AnomalibModule) -> int:
    return int(model.trainer_arguments.get("max_epochs", _DEFAULT_EPOCHS))


def _overrides(model: AnomalibModule, options: TrainOptions) -> dict[str, tuple[Any, Any]]:
    """The options that the user set and the model overrode."""
    forced = dict(model.trainer_arguments)
    asked: dict[str, Any] = dict(options.engine_args or {})
    given = options.given()
    asked |= {name: given[name] for name in ("max_epochs", "devices", "check_val_every_n_epoch") if name in given}
    replaced = {
        name: (value, forced[name]) for name, value in asked.items() if name in forced and forced[name] != value
    }
    if model.learning_type != LearningType.ONE_CLASS and "max_epochs" in given:
        replaced["max_epochs"] = (given["max_epochs"], 0)
    return replaced


def _notes(model: AnomalibModule, options: TrainOptions, trainer: Trainer, metric: str | None) -> tuple[str, ...]:
    notes = []
    if model.learning_type != LearningType.ONE_CLASS:
        notes.append(f"{model.name} does not learn from images; only its threshold was determined, in validation.")
    elif options.max_epochs is None and "max_epochs" not in model.trainer_arguments:
        notes.append(f"max_epochs was not given; {trainer.max_epochs} were used.")
    if metric is None and not is_memory_bank(model) and model.learning_type == LearningType.ONE_CLASS:
        notes.append("Validation lacks normal or anomalous images, so the last state is used.")
    return tuple(notes)


def _best_epoch(run: Run, metric: str | None) -> int | None:
    found = [record for record in run.history if metric in record.metrics]
    if metric is None or not found:
        return None
    sign = -1.0 if "loss" in metric else 1.0
    return max(found, key=lambda record: sign * record.metrics[metric]).epoch


def _trainer_of(upstream: UpstreamEngine) -> Any:
    """The trainer that Anomalib's engine has created; ``None`` before that."""
    try:
        return upstream.trainer
    except UnassignedError:
        return None


def _drop_empty(folder: Path) -> None:
    """Remove folders that Anomalib created and left empty."""
    if folder.is_dir() and not any(path.is_file() for path in folder.rglob("*") if not path.is_symlink()):
        shutil.rmtree(folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence messages of Lightning and Anomalib about things that are as intended."""
    with quieter(_LOGGERS, logging.ERROR), warnings.catch_warnings():
        for text in (".*does not have many workers.*", ".*returned `None`.*", ".*number of training batches.*"):
            warnings.filterwarnings("ignore", message=text)
        warnings.filterwarnings("ignore", module=r"(lightning|torchmetrics|anomalib|timm|torchvision)\.")
        yield
