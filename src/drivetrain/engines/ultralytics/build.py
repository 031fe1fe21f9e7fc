"""Creating Ultralytics' model objects from a name, a class, a checkpoint, or the user's own object."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from drivetrain.engines.ultralytics import SPEC
from drivetrain.engines.ultralytics.containment import contained, ultralytics
from drivetrain.engines.ultralytics.listing import class_name
from drivetrain.errors import (
    CheckpointError,
    DataError,
    MissingDependencyError,
    ModelError,
    OptionError,
    UnsafeCheckpointError,
    UnsupportedError,
    UnsupportedOptionError,
)
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.checkpoint import require_file
from drivetrain.types import Task

#: Ultralytics' name for a task -> ours.
TASKS = {
    "classify": Task.CLASSIFICATION,
    "detect": Task.DETECTION,
    "segment": Task.INSTANCE_SEGMENTATION,
    "pose": Task.KEYPOINT_DETECTION,
    "obb": Task.ORIENTED_DETECTION,
    "semantic": Task.SEMANTIC_SEGMENTATION,
    "depth": Task.DEPTH,
}
#: The internals of Ultralytics that the engine overrides or calls -> the parameters that they must have.
_HOOKS: dict[str, tuple[str, ...]] = {
    "nn.tasks:_SafeLoad.SUPPORTED": (),  # false if torch is too old for it
    "nn.tasks:torch_safe_load": ("safe_only",),
    "engine.trainer:BaseTrainer.get_dataset": (),
    "engine.trainer:BaseTrainer.build_dataset": ("img_path", "mode", "batch"),
    "engine.trainer:BaseTrainer.get_dataloader": (),
    "engine.trainer:BaseTrainer.validate": (),
    "engine.trainer:BaseTrainer.check_resume": ("overrides",),
    "engine.trainer:BaseTrainer.final_eval": (),
    "engine.validator:BaseValidator.build_dataset": ("img_path",),
    "data.base:BaseDataset.get_img_files": ("img_path",),
    "data.base:BaseDataset.get_labels": (),
    "data.dataset:SemanticDataset.load_mask": (),
    "data.dataset:DepthDataset": ("data",),
    "data.dataset:ClassificationDataset": (),
    "data.augment:classify_augmentations": ("size", "scale", "hflip", "vflip", "erasing", "auto_augment"),
    "models.rtdetr.val:RTDETRDataset": (),
    "models.yolo.depth.calibrate:calibrate_checkpoint": ("max_depth",),
    "utils.callbacks.base:get_default_callbacks": (),
}
_MODEL_ARGS = ("pretrained",)
_BY_TEXT = ("YOLOWorld", "YOLOE")
_BY_TEXT_MODELS = ("WorldModel", "YOLOEModel", "YOLOESegModel")


def build(given: Any, model_args: Mapping[str, Any]) -> Any:
    """Ultralytics' object for a catalogue entry or a class; an object is returned unchanged.

    Args:
        given: a :class:`~drivetrain.models.catalog.ModelEntry`, a class of Ultralytics, or an instance of one.
        model_args: ``pretrained`` (a local ``.pt`` to load weights from) for names; constructor arguments for classes.

    Raises:
        OptionError: a model argument does not exist.
        ModelError: the class does not accept these arguments.
        UnsupportedError: the model learns from texts, which no data set here contains.
    """
    ultralytics()
    with contained():
        if isinstance(given, ModelEntry):
            return _build_entry(given, model_args)
        if isinstance(given, type):
            try:
                return given(**model_args)
            except (TypeError, FileNotFoundError) as error:
                raise ModelError(f"{given.__name__} cannot be created with {dict(model_args)}: {error}") from error
    return given


def _build_entry(entry: ModelEntry, model_args: Mapping[str, Any]) -> Any:
    unknown = sorted(set(model_args) - set(_MODEL_ARGS))
    if unknown:
        raise OptionError(f"model_args: {unknown[0]!r} is not an argument of {entry.name}. Allowed: pretrained.")
    kind = class_name(entry.name)
    if kind in _BY_TEXT:
        raise UnsupportedError(_learns_from_texts(entry.name))
    made = getattr(importlib.import_module("ultralytics"), kind)(f"{entry.name}.yaml")
    if model_args.get("pretrained"):
        path = Path(model_args["pretrained"]).expanduser()
        made.model.load(open_checkpoint(path).model)
    return made


def learns_from_texts(yolo: Any) -> bool:
    """Whether class names are converted to vectors by a text encoder, in training and validation."""
    return type(yolo.model).__name__ in _BY_TEXT_MODELS


_NOT_TRAINED = {
    "NAS": "comes with its makers' weights and cannot be trained",
    "SAM": "segments what points and boxes indicate",
    "FastSAM": "segments what points and boxes indicate",
}


def require_trainable(yolo: Any) -> None:
    """Refuse to train a model that needs a text encoder.

    Raises:
        UnsupportedError: the model learns from texts.
    """
    if learns_from_texts(yolo):
        raise UnsupportedError(_learns_from_texts(f"The {type(yolo).__name__} object"))


def require_served(model: Any) -> None:
    """Refuse the Ultralytics classes that answer to points, boxes or texts and cannot be trained.

    Raises:
        UnsupportedError: the model is an instance of such a class.
    """
    cls = model if isinstance(model, type) else type(model)
    name = next((base.__name__ for base in cls.__mro__ if base.__name__ in _NOT_TRAINED), None)
    if name is not None:
        raise UnsupportedError(
            f"Ultralytics' {name} {_NOT_TRAINED[name]}, so it can be neither trained nor tested here. Use it directly "
            "in Ultralytics, or take one of its trainable models: drivetrain find --names yolo"
        )


def _learns_from_texts(name: str) -> str:
    return (
        f"{name} learns from the texts of its classes: Ultralytics trains it with a text encoder (CLIP or MobileCLIP), "
        "which is not part of its package and would be downloaded during training. Train it with the yolo command "
        "where the encoder is available; a model saved after its classes were set predicts, tests and exports here. Or "
        "take a model with a fixed set of classes, such as yolo11n: drivetrain find --task detection yolo"
    )


def open_checkpoint(path: Path) -> Any:
    """Ultralytics' object for one of its checkpoints, which is first read in a way that cannot execute anything.

    Raises:
        CheckpointNotFoundError: the file does not exist; nothing is downloaded.
        UnsafeCheckpointError: opening it could execute code.
        CheckpointError: it is not a checkpoint of Ultralytics.
    """
    read_safely(path)
    package = ultralytics()
    with contained():
        try:
            return package.YOLO(str(path))
        except Exception as error:
            raise CheckpointError(f"checkpoint={str(path)!r} cannot be opened by Ultralytics: {error}") from error


def read_safely(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, allowing only the classes that Ultralytics allows in one.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: opening it could execute code.
        CheckpointError: it is not a checkpoint of Ultralytics.
    """
    require_file(path)
    ultralytics()
    tasks = importlib.import_module("ultralytics.nn.tasks")
    require_hooks()
    with contained():
        try:
            content, _ = tasks.torch_safe_load(str(path), safe_only=True)
        except Exception as error:
            if isinstance(error, TypeError) and "TorchScript" not in str(error):
                raise UnsafeCheckpointError(
                    f"checkpoint={str(path)!r} refers to code that is not Ultralytics' own, so it was not opened and "
                    "nothing was run. Give a .pt written by Ultralytics or drivetrain."
                ) from error
            raise CheckpointError(f"checkpoint={str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("ema") or content.get("model"), torch.nn.Module):
        raise CheckpointError(f"checkpoint={str(path)!r} is not a checkpoint of Ultralytics: it holds no model.")
    return content


def require_labels(checkpoint: Path, names: Mapping[int, str]) -> None:
    """Refuse to resume from a checkpoint whose classes differ from those of the data.

    Raises:
        DataError: the classes differ.
    """
    content = read_safely(checkpoint)
    theirs, ours = names_of(content.get("ema") or content["model"]), tuple(names.values())
    if theirs != ours:
        raise DataError(
            f"resume=True: the run has {len(theirs)} classes ({', '.join(theirs[:5])}), but the data have "
            f"{len(ours)} ({', '.join(ours[:5])}). Give the data of the run, or start a new run with checkpoint=... "
            "and a new work_dir."
        )


def is_complete(checkpoint: Path, epochs: int | None) -> bool:
    """Whether a state is the one after the last epoch.

    Args:
        checkpoint: a state that Ultralytics saved during training.
        epochs: the requested number of epochs; ``None`` for the number that the run was started with.
    """
    content = read_safely(checkpoint)
    wanted = epochs or int(content["train_args"]["epochs"])
    return int(content["epoch"]) + 1 >= wanted


def require_hooks() -> None:
    """Refuse a release that lacks something this engine overrides or calls.

    Raises:
        MissingDependencyError: the installed Ultralytics is too old or too new, or torch is too old.
    """
    package = ultralytics()
    lacking = [path for path, parameters in _HOOKS.items() if not _has(path, parameters)]
    if lacking:
        raise MissingDependencyError(
            f"ultralytics {package.__version__} with torch {torch.__version__} lacks {', '.join(lacking)}, which this "
            f"engine needs. Releases that work: {SPEC.upstream['ultralytics']}. "
            f"pip install -U 'ultralytics{SPEC.upstream['ultralytics']}' torch"
        )


def _has(path: str, parameters: tuple[str, ...]) -> bool:
    """Whether ``module:name.name`` exists, is not false, and accepts these parameters."""
    module, _, names = path.partition(":")
    try:
        found: Any = importlib.import_module(f"ultralytics.{module}")
    except ImportError:
        return False
    for name in names.split("."):
        found = getattr(found, name, None)
    return bool(found) and (not parameters or set(parameters) <= set(inspect.signature(found).parameters))


def task_of(yolo: Any) -> Task:
    """The task of the model.

    Raises:
        ModelError: the object contains no torch model, or one with an unknown task.
    """
    if not isinstance(yolo.model, torch.nn.Module):
        raise ModelError(
            f"The {type(yolo).__name__} object holds {str(yolo.model)!r}, which cannot be trained. Give one created "
            "from a .yaml or a .pt; open an exported model by its path."
        )
    if yolo.task not in TASKS:
        raise ModelError(f"The {type(yolo).__name__} object is for the task {yolo.task!r}, which is unsupported.")
    return TASKS[yolo.task]


def names_of(model: Any) -> tuple[str, ...]:
    """The name of each class of a torch model, by its number."""
    names = getattr(model, "names", None) or {}
    if isinstance(names, Mapping):
        return tuple(str(names[number]) for number in sorted(names))
    return tuple(map(str, names))


def image_size_of(yolo: Any, default: int) -> int:
    """The side of the square input in pixels at which the model was trained."""
    args = yolo.model.args if isinstance(yolo.model.args, Mapping) else vars(yolo.model.args)
    size = args.get("imgsz") or default
    return int(size if isinstance(size, int) else max(size))


def require_weighable(yolo: Any, asked: Any, *, own_loaders: bool) -> None:
    """Refuse class weights if the model's loss does not support them.

    Args:
        yolo: Ultralytics' object.
        asked: the weights, for the message.
        own_loaders: whether the data are the user's own loaders.

    Raises:
        UnsupportedOptionError: the loss or the trainer does not use them.
    """
    trainer = yolo.task_map[yolo.task]["trainer"]
    plain = importlib.import_module("ultralytics.engine.trainer").BaseTrainer.set_class_weights
    without = trainer.set_class_weights is plain or "RTDETR" in trainer.__name__
    if own_loaders or without:
        reason = "your own loaders do not say how often each class occurs"
        if without:
            reason = f"Ultralytics' {trainer.__name__} does not support class weights"
        raise UnsupportedOptionError(
            f"class_weights={asked!r} cannot be honoured: {reason}. Leave it out, or add images of the rare classes."
        )
