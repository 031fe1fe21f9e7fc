"""Training with RF-DETR's own modules: its options, its trainer, and the options it actually used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engines.rfdetr.build import require_resolution
from drivetrain.engines.rfdetr.states import RFDETRRunCallback, plain_module
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.torch_training.trainer import check_options as check_trainer_options
from drivetrain.torch_training.trainer import effective_options as effective_trainer_options
from drivetrain.torch_training.trainer import run_trainer, trainer_settings
from drivetrain.torch_training.trainer import trainer_arguments as lightning_arguments
from drivetrain.types.options import TrainOptions

PACKAGE = "pytorch_lightning"
_PERSON = 17  # keypoints of a person in COCO, whose sigmas are known
_LOGGED = "train(logger=...)"
_WAITING = "train(patience=...)"
_MODEL = "model_args of the model"
_STATES = "drivetrain, which saves the best and the last state"
_DEVICES = "Engine(device=...)"
#: Arguments of RF-DETR that an option of ours sets: argument -> (option, how it is given).
_SET_BY_OPTION = {
    "use_ema": ("ema", "train(ema=...)"),
    "ema_decay": ("ema", "train(ema=...)"),
    "lr_encoder": ("backbone_learning_rate", "train(backbone_learning_rate=...)"),
}
#: Fields of RF-DETR's TrainConfig that the engine sets: name -> what controls them.
SET_BY_ENGINE: dict[str, str] = {
    "lr": "train(learning_rate=...)",
    "batch_size": "train(batch_size=...)",
    "epochs": "train(max_epochs=...)",
    "seed": "train(seed=...)",
    "num_workers": "train(num_workers=...)",
    "eval_interval": "train(check_val_every_n_epoch=...)",
    "resume": "train(resume=True)",
    **dict.fromkeys(("dataset_dir", "dataset_file", "class_names"), "the data"),
    "keypoint_flip_pairs": "drivetrain, which does not mirror keypoints, as RF-DETR 1.8 fails to",
    **dict.fromkeys(("output_dir", "notes"), "Engine(work_dir=...)"),
    **dict.fromkeys(("tensorboard", "wandb", "mlflow", "clearml", "project", "run"), _LOGGED),
    **dict.fromkeys(("early_stopping_patience", "early_stopping_min_delta", "early_stopping_use_ema"), _WAITING),
    "early_stopping": _WAITING,
    **dict.fromkeys(("checkpoint_interval", "skip_best_epochs", "dont_save_weights", "run_test"), _STATES),
    **dict.fromkeys(("group_detr", "ia_bce_loss", "num_select", "segmentation_head"), _MODEL),
    **dict.fromkeys(("accelerator", "devices", "num_nodes", "strategy"), _DEVICES),
    **dict.fromkeys(
        ("auto_batch_target_effective", "auto_batch_max_targets_per_image", "auto_batch_ema_headroom"),
        "train(adaptive_bs=...)",
    ),
    "square_resize_div_64": "drivetrain, whose artefacts take square images as RF-DETR's own prediction does",
    "progress_bar": "drivetrain, which shows its own progress",
    "save_dataset_grids": "drivetrain, whose report shows images",
    "accumulate_grad_batches": "engine_args grad_accum_steps",
    "gradient_clip_val": "engine_args clip_max_norm",
}


def argument_names(config_class: Any = None) -> tuple[str, ...]:
    """The names allowed in ``engine_args``: RF-DETR's training options, and arguments of Lightning's trainer."""
    config = config_class or importlib.import_module("rfdetr.config").TrainConfig
    names = dict.fromkeys((*config.model_fields, *lightning_arguments(PACKAGE)))
    return tuple(name for name in names if name not in SET_BY_ENGINE)


def check_options(options: TrainOptions, *, device: str) -> None:
    """Refuse options that RF-DETR cannot honour, before anything is built or written.

    Raises:
        OptionError: a value is not allowed.
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    for name in options.engine_args or {}:
        if name in SET_BY_ENGINE:
            raise UnsupportedOptionError(f"engine_args: {name} is set by {SET_BY_ENGINE[name]}; leave it out.")
    for theirs, (ours, said) in _SET_BY_OPTION.items():
        if getattr(options, ours) is not None and theirs in (options.engine_args or {}):
            raise UnsupportedOptionError(f"engine_args: {theirs} is set by {said}; leave out one of them.")
    size = options.image_size_hw
    if size is not None and size[0] != size[1]:
        raise UnsupportedOptionError(
            f"image_size={options.image_size!r} cannot be honoured: RF-DETR takes square images. Give one number."
        )
    usual = importlib.import_module("rfdetr.config").TrainConfig.model_fields["epochs"].default
    check_trainer_options(options, device=device, package=PACKAGE, usual_epochs=usual)


def resolution_of(options: TrainOptions | None) -> int | None:
    """The requested side of the input."""
    size = options.image_size_hw if options is not None else None
    return size[0] if size is not None else None


def check_resolution(options: TrainOptions, config: Any) -> None:
    """Refuse a size that the model does not support.

    Raises:
        OptionError: it is not supported.
    """
    side = resolution_of(options)
    if side is not None:
        require_resolution(config, side, "image_size")


def configuration(
    detr: Any,
    options: TrainOptions,
    folder: Path,
    label_names: Sequence[str],
    keypoint_names: Sequence[str] | None,
    fields: Mapping[str, Any] | None = None,
) -> Any:
    """RF-DETR's configuration of the training.

    Args:
        detr: the object to train.
        options: the options of ``train``.
        folder: the folder that RF-DETR may write to.
        label_names: the names of the classes.
        keypoint_names: the names of the keypoints; ``None`` if a data module of RF-DETR's own knows them.
        fields: fields of that data module's configuration, which the options override.

    Raises:
        OptionError: one of the ``engine_args`` has an invalid value.
    """
    own = set(type(detr.get_train_config(dataset_dir=None)).model_fields)
    given = {name: value for name, value in (options.engine_args or {}).items() if name in own}
    before = {name: value for name, value in (fields or {}).items() if name in own}
    asked = {
        "epochs": options.max_epochs,
        "batch_size": options.batch_size,
        "lr": options.learning_rate,
        "num_workers": options.num_workers,
        "use_ema": True if options.ema is not None else None,
        "ema_decay": options.ema,
        "lr_encoder": options.backbone_learning_rate,
    }
    fixed: dict[str, Any] = {
        "dataset_dir": None,
        "output_dir": str(folder),
        "class_names": list(label_names),
        "run_test": False,
        "persistent_workers": False,  # persistent workers would not be informed of the epoch
        **dict.fromkeys(("tensorboard", "wandb", "mlflow", "clearml"), False),
        **(_of_keypoints(detr, keypoint_names, given) if keypoint_names is not None else {}),
    }
    error_class = importlib.import_module("pydantic").ValidationError
    try:
        return detr.get_train_config(
            **{**fixed, **before, **{name: value for name, value in asked.items() if value is not None}, **given}
        )
    except error_class as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "engine_args"
        raise OptionError(f"engine_args: {name}={first.get('input')!r}: {first['msg']}.") from error


def _of_keypoints(detr: Any, names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keypoint sigmas as in our own metric, and no mirroring in the default augmentation.

    RF-DETR 1.8 cannot swap left and right points: it fails on the first image with two objects.
    """
    if not detr.model_config.use_grouppose_keypoints:
        return {}
    found: dict[str, Any] = {}
    if "keypoint_oks_sigmas" not in given and len(names) != _PERSON:
        found["keypoint_oks_sigmas"] = [1 / len(names)] * len(names)
    if "aug_config" not in given:
        usual = importlib.import_module("rfdetr.datasets.aug_configs").AUG_CONFIG
        found["aug_config"] = {name: value for name, value in usual.items() if name != "HorizontalFlip"}
    return found


def make_module(detr: Any, config: Any) -> Any:
    """RF-DETR's own Lightning module, with the object's network."""
    training = importlib.import_module("rfdetr.training")
    blank = detr.model_config.model_copy(update={"pretrain_weights": None})
    module = training.RFDETRModelModule(blank, config)
    network = plain_module(module.model)
    network.load_state_dict(detr.model.model.state_dict())
    detr.model.model = network
    return module


def make_trainer(
    module: Any, config: Any, options: TrainOptions, *, device: str, callback: RFDETRRunCallback | None
) -> Any:
    """RF-DETR's own trainer, with its averaging, metrics and schedules; the run saves the states.

    Args:
        module: RF-DETR's Lightning module.
        config: RF-DETR's configuration of the training.
        options: the options of ``train``.
        device: as given to the engine.
        callback: saves the states; ``None`` if nothing is trained.

    Raises:
        OptionError: the trainer refuses an option.
    """
    training = importlib.import_module("rfdetr.training")
    lightning = importlib.import_module(PACKAGE)
    settings = trainer_settings(options, device=device, package=PACKAGE)
    own = settings.pop("callbacks")
    extra = {name: value for name, value in (options.engine_args or {}).items() if name in lightning_arguments(PACKAGE)}
    arguments = {"num_sanity_val_steps": 0, "enable_model_summary": False, **settings, **extra}
    misconfigured = importlib.import_module(f"{PACKAGE}.utilities.exceptions").MisconfigurationException
    try:
        trainer = training.build_trainer(config, module.model_config, **arguments)
    except (ValueError, TypeError, misconfigured) as error:
        raise OptionError(f"The trainer of {PACKAGE} refuses an option: {' '.join(str(error).split())}") from error
    unwanted = lightning.callbacks.Checkpoint
    kept = [item for item in trainer.callbacks if not isinstance(item, unwanted)]
    trainer.callbacks = [*own, *kept, _silent_bar(lightning), *([] if callback is None else [callback])]
    return trainer


def _silent_bar(lightning: Any) -> Any:
    """A progress bar that shows nothing: without any, RF-DETR prints a table after each validation."""
    return type("SilentProgressBar", (lightning.callbacks.ProgressBar,), {})()


def effective_options(trainer: Any, module: Any, options: TrainOptions) -> dict[str, Any]:
    """The options that RF-DETR actually uses, under our names."""
    config = module.train_config
    given = options.engine_args or {}
    own = {name: getattr(config, name) for name in given if name in type(config).model_fields}
    side = module.model_config.resolution
    special = {"ema": config.ema_decay, "backbone_learning_rate": config.lr_encoder}
    base: Mapping[str, Any] = effective_trainer_options(trainer, module, options)
    return {
        **base,
        "learning_rate": config.lr,
        "image_size": [side, side],
        **{name: getattr(config, name) for name in ("grad_accum_steps", "use_ema", "multi_scale", "lr_encoder")},
        **{name: value for name, value in special.items() if getattr(options, name) is not None},
        **own,
    }


def run(module: Any, trainer: Any, data: Any, state: Path | None) -> None:
    """Train on a data module; return normally if the user stops it."""
    run_trainer(trainer, module, {"datamodule": data}, state)
