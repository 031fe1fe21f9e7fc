"""Translating the options of ``train`` to Ultralytics' own, and refusing those it cannot honour."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from drivetrain.engines.ultralytics.containment import ultralytics
from drivetrain.engines.ultralytics.limits import SET_BY_ENGINE, STRIDE, check_precision
from drivetrain.engines.ultralytics.limits import check as check_limits
from drivetrain.errors import OptionError, UnsupportedOptionError, near
from drivetrain.machine.device import choose_device
from drivetrain.types.options import TrainOptions

#: Each option of ``train`` -> the Ultralytics option it becomes; ``""`` if drivetrain handles it itself.
OPTIONS = {
    "max_epochs": "epochs",
    "batch_size": "batch",
    "learning_rate": "lr0",
    "image_size": "imgsz",
    "seed": "seed",
    "deterministic": "deterministic",
    "precision": "amp",
    "patience": "patience",
    "val_check_interval": "",  # refused: it validates after whole epochs
    "check_val_every_n_epoch": "",  # toggles "val" before each epoch
    "num_workers": "workers",
    "devices": "device",
    "nodes": "",  # refused: it trains in one process
    "callbacks": "",  # added to the events of its trainer
    "logger": "",  # names of trackers, which the run feeds
    "metric": "",  # the fitness
    "class_weights": "cls_pw",  # weights by label are set directly on its model
    "sampler": "",  # refused: it draws each image once
    "tile": "",  # refused, as those below: the reasons are in the framework
    "ema": "",
    "freeze_backbone": "",
    "backbone_learning_rate": "",
    "mosaic": "",
    "scale_jitter": "",
    "checkpoint": "",  # the initial weights of the trainer's model
    "resume": "resume",
    "overwrite": "",  # the work dir
    "run_hpo": "",  # a search around the training
    "hpo_config": "",
    "adaptive_bs": "",  # trial steps before training
    "engine_args": "",  # under their own names
}
_EFFECTIVE = {
    ours: OPTIONS[ours]
    for ours in (
        "max_epochs",
        "batch_size",
        "learning_rate",
        "image_size",
        "seed",
        "deterministic",
        "patience",
        "num_workers",
    )
}
_FULLY = 1.0  # the power of the inverse frequency
#: The names that ``build_optimizer`` of Ultralytics' trainer accepts, in any case; its configuration accepts anything.
OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


def argument_names() -> tuple[str, ...]:
    """The names allowed in ``engine_args``."""
    ultralytics()
    known = importlib.import_module("ultralytics.utils").DEFAULT_CFG_DICT
    return (*(name for name in known if name not in SET_BY_ENGINE), "augmentations")


def check_options(options: TrainOptions, device: str) -> None:
    """Refuse options that Ultralytics cannot honour, before anything is built or written.

    Raises:
        OptionError: a value is not allowed.
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    check_limits(options, device=device)
    if options.logger is not None:
        raise UnsupportedOptionError(
            f"logger={options.logger!r} cannot be honoured: Ultralytics has no logger objects to pass its "
            "numbers to. Give the name of a tracker (tensorboard, mlflow, wandb), which drivetrain feeds, or "
            "callbacks={'on_fit_epoch_end': function}."
        )
    precision_of(options.precision, choose_device(device))
    callbacks_of(options.callbacks)
    _check_values(options, device)


def _check_values(options: TrainOptions, device: str) -> None:
    """Let Ultralytics check the values, and report the refused one under our name."""
    settings = overrides_for(options, task="detect", model="", folder=Path(), device=device)
    known = importlib.import_module(f"{ultralytics().__name__}.utils").DEFAULT_CFG_DICT
    check = importlib.import_module(f"{ultralytics().__name__}.cfg").get_cfg
    ours = {theirs: name for name, theirs in OPTIONS.items() if theirs}
    for theirs in sorted(set(settings) & set(known)):
        try:
            check(overrides={theirs: settings[theirs]})
        except (TypeError, ValueError) as error:
            name = ours.get(theirs, f"engine_args: {theirs}")
            raise OptionError(_refused(name, theirs, settings[theirs], str(error))) from error
    optimizer = str(settings.get("optimizer", "auto"))
    if optimizer.lower() not in map(str.lower, OPTIMIZERS):
        raise OptionError(
            f"engine_args: optimizer={optimizer!r} is not allowed by Ultralytics.{near(optimizer, OPTIMIZERS)} "
            f"Allowed: {', '.join(OPTIMIZERS)}."
        )


def _refused(name: str, theirs: str, value: Any, reason: str) -> str:
    """Ultralytics' message about a value, with our name of the option and without its examples, which use its own."""
    told = re.sub(r"\s*\(i\.e\.[^)]*\)", "", reason)
    first, _, allowed = told.partition(". ")
    allowed = re.sub(rf"Valid '{theirs}' (\w+) are", r"Allowed \1 are", allowed)
    said = re.sub(rf"^.*'{theirs}(=[^']*)?' must be", "It must be", allowed or first)
    return f"{name}={value!r} is not allowed by Ultralytics. {said.rstrip('.')}."


def check_batch(options: TrainOptions, images: int) -> None:
    """Refuse batches larger than the training set, or whose last one cannot be normalised.

    Raises:
        OptionError: the batch is larger than the data, or the last one would be a single small image.
    """
    size, side = options.batch_size, options.image_size_hw
    if size is None:
        return
    if size > images:
        raise OptionError(
            f"batch_size={size} is larger than the data: there are {images} training images. Give at most {images}."
        )
    if side is not None and side[0] < 2 * STRIDE and (images % size or size) == 1:
        raise OptionError(
            f"batch_size={size} leaves a last batch of one of the {images} images, and at image_size={side[0]} its "
            f"features are single numbers that cannot be normalised. Give another batch_size, or image_size="
            f"{2 * STRIDE}."
        )


def precision_of(precision: str, device: str) -> bool | str:
    """Ultralytics' ``amp`` for a precision.

    Raises:
        UnsupportedOptionError: the device does not support it.
    """
    kind = device.partition(":")[0]
    if precision == "auto":
        return "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported() else False
    if precision == "fp32":
        return False
    check_precision(precision, kind)
    return "bf16" if precision == "bf16" else "fp16"


def callbacks_of(given: Any) -> list[tuple[str, Callable[[Any], None]]]:
    """Pairs of (event, function) from a mapping, or from a list of pairs and mappings.

    Raises:
        OptionError: an event does not exist, or something is not a function.
    """
    if given is None:
        return []
    events = tuple(importlib.import_module(f"{ultralytics().__name__}.utils.callbacks.base").default_callbacks)
    parts: Sequence[Any] = [given] if isinstance(given, Mapping) else list(given)
    pairs: list[Any] = []
    for part in parts:
        pairs += list(part.items()) if isinstance(part, Mapping) else [part]
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and callable(pair[1])):
            raise OptionError(
                f"callbacks: {reprlib.repr(pair)} is not a pair of an event and a function. Give a mapping such as "
                "{'on_train_epoch_end': function}; the function gets Ultralytics' trainer."
            )
        if pair[0] not in events:
            raise OptionError(
                f"callbacks: {pair[0]!r} is not an event.{near(str(pair[0]), events)} Events: {', '.join(events)}."
            )
    return pairs


def overrides_for(options: TrainOptions, *, task: str, model: str, folder: Path, device: str) -> dict[str, Any]:
    """Ultralytics' own options for a training run.

    Args:
        options: the options of ``train``.
        task: Ultralytics' name for the task.
        model: name of the architecture, or the ``.pt`` to continue from.
        folder: the folder that Ultralytics writes to.
        device: as given to the engine.
    """
    place = choose_device(device)
    kind, _, number = place.partition(":")
    which = options.devices[0] if not isinstance(options.devices, int) else int(number or 0)
    settings: dict[str, Any] = {
        "task": task,
        "mode": "train",
        "model": model,
        "data": str(folder / "data.yaml"),
        "save_dir": str(folder),
        "exist_ok": True,
        "plots": False,
        "verbose": False,
        "seed": options.seed,
        "deterministic": options.deterministic,
        "amp": precision_of(options.precision, place),
        "device": device_name(kind, which),
    }
    given = {
        "epochs": options.max_epochs,
        "batch": options.batch_size,
        "nbs": options.batch_size,
        "imgsz": options.image_size_hw[0] if options.image_size_hw else None,
        "patience": options.patience,
        "workers": options.num_workers,
    }
    settings.update({name: value for name, value in given.items() if value is not None})
    if options.class_weights == "balanced":
        settings["cls_pw"] = _FULLY
    if options.learning_rate is not None:
        # "auto" would override the rate, and biases would start far above it
        settings.update(lr0=options.learning_rate, optimizer="AdamW", warmup_bias_lr=0.0)
    return {**settings, **(options.engine_args or {})}


def device_name(kind: str, number: int) -> str:
    """Ultralytics' name for a device."""
    return str(number) if kind == "cuda" else f"{kind}:{number}" if kind == "xpu" else kind


def effective_options(trainer: Any, options: TrainOptions) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
    """The options that the trainer actually uses, under our names, and those that it overrode."""
    args = vars(trainer.args)
    used = {ours: args[theirs] for ours, theirs in _EFFECTIVE.items()}
    used["precision"] = {False: "fp32", "fp32": "fp32", "bf16": "bf16"}.get(args["amp"], "fp16")
    weights = getattr(getattr(trainer, "model", None), "class_weights", None)
    if isinstance(weights, torch.Tensor):
        used["class_weights"] = dict(zip(trainer.data["names"].values(), weights.tolist(), strict=True))
    used.update((options.engine_args and {name: args.get(name) for name in options.engine_args}) or {})
    asked: dict[str, Any] = {name: value for name, value in options.given().items() if name in _EFFECTIVE}
    if options.image_size_hw and "image_size" in asked:
        asked["image_size"] = options.image_size_hw[0]
    replaced = {name: (value, used[name]) for name, value in asked.items() if used[name] != value}
    return used, replaced
