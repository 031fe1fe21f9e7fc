"""Creating getitune's models from its recipes, and reading their facts."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engines.getitune.recipes import SUBSETS, TASKS, GetituneRecipe
from drivetrain.engines.getitune.side_effects import contained, imported
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError, near
from drivetrain.torch_training.checkpoint import read_checkpoint
from drivetrain.torch_training.process import own_randomness
from drivetrain.types import ImageSpec, Task

_LABELS_AT_MOST = 255
_PRETRAINED = "pretrained"
_WEIGHTS = "pretrained_weights"


def build(
    recipe: GetituneRecipe,
    arguments: Mapping[str, Any],
    *,
    labels: Sequence[str],
    input_size: tuple[int, int] | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Any:
    """A new model of a recipe, with its optimiser and schedule.

    Args:
        recipe: the recipe.
        arguments: arguments of its class, which override the recipe's.
        labels: the labels of its head.
        input_size: ``(height, width)``; ``None`` for the recipe's.
        learning_rate: replaces the recipe's.
        seed: the seed of its random weights.

    Raises:
        OptionError: an argument or the size is not allowed.
        UnsafeCheckpointError: the weights could run code.
        DataError: there are more labels than getitune can store.
    """
    if len(labels) > _LABELS_AT_MOST:
        raise DataError(f"The data have {len(labels)} labels; getitune stores at most {_LABELS_AT_MOST}.")
    with contained(), own_randomness(seed):
        cls = object_at(recipe.class_path)
        known = inspect.signature(cls.__init__).parameters
        given = {**recipe.model_args, **_checked(arguments, known)}
        if _PRETRAINED in known:
            given[_PRETRAINED] = given.get(_WEIGHTS) is not None
        node = given.get("optimizer")
        if learning_rate is not None and isinstance(node, Mapping):
            given["optimizer"] = {**node, "init_args": {**(node.get("init_args") or {}), "lr": learning_rate}}
        given["label_info"] = list(labels)
        size = input_size or recipe.input_size
        given["data_input_params"] = {"input_size": size, **normalisation(recipe)}
        made = {name: instantiate(value) for name, value in given.items()}
        try:
            return cls(**made)
        except (ValueError, TypeError) as error:
            asked = "image_size" if input_size is not None and "nput size" in str(error) else "model_args"
            raise OptionError(f"{asked}: {cls.__name__} refuses it: {' '.join(str(error).split())}") from error


def _checked(arguments: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The user's arguments, without what would download something or load a file unsafely."""
    given = dict(arguments)
    for name in given:
        if name not in known:
            raise OptionError(f"model_args: {name!r} is not known.{near(name, known)} Known: {', '.join(known)}.")
    if given.pop(_PRETRAINED, False):
        raise UnsupportedOptionError(
            "pretrained=True would download weights. Give a local file: model_args={'pretrained_weights': 'FILE'}."
        )
    if given.get(_WEIGHTS) is not None:
        read_checkpoint(Path(given[_WEIGHTS]))
    return given


def object_at(path: str) -> Any:
    """The class or function at a dotted path in a recipe of getitune."""
    module, _, name = path.rpartition(".")
    return getattr(imported(module), name)


def instantiate(node: Any) -> Any:
    """An object from its ``class_path`` and ``init_args``; optimisers and schedules become functions that make one."""
    if isinstance(node, list):
        return [instantiate(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "class_path" not in node:
        return {name: instantiate(value) for name, value in node.items()}
    cls = object_at(str(node["class_path"]))
    arguments = {name: instantiate(value) for name, value in (node.get("init_args") or {}).items()}
    if isinstance(cls, type) and issubclass(cls, _made_later()):
        return functools.partial(cls, **arguments)
    return cls(**arguments)


@functools.cache
def _made_later() -> tuple[type, ...]:
    """What needs the parameters or the optimiser first."""
    optim = importlib.import_module("torch.optim")
    return optim.Optimizer, optim.lr_scheduler.LRScheduler


def normalisation(recipe: GetituneRecipe) -> dict[str, tuple[float, ...]]:
    """The mean and the deviation by which the recipe normalises test images; empty for the model's own."""
    subset = recipe.subset(SUBSETS[-1])
    for node in [*(subset.get("augmentations_cpu") or []), *(subset.get("augmentations_gpu") or [])]:
        if str(node.get("class_path", "")).endswith(".Normalize"):
            values = node.get("init_args") or {}
            return {name: tuple(float(value) for value in values[name]) for name in ("mean", "std")}
    return {}


def keeps_aspect(subset: Mapping[str, Any]) -> bool:
    """Whether the images of a subset are resized with their aspect ratio kept, and padded."""
    nodes = subset.get("augmentations_cpu") or []
    return any(bool((node.get("init_args") or {}).get("keep_aspect_ratio")) for node in nodes)


def task_of(module: Any) -> Task:
    """The task of a model of getitune.

    Raises:
        OptionError: the engine does not serve it.
    """
    name = str(getattr(module.task, "value", module.task))
    if name not in TASKS:
        raise OptionError(f"getitune's task {name} is not supported. Supported: {', '.join(TASKS)}.")
    return TASKS[name]


def names_of(module: Any) -> tuple[str, ...]:
    """The labels of a model of getitune."""
    return tuple(map(str, module.label_info.label_names))


def image_spec(module: Any) -> ImageSpec:
    """How an image becomes the input of a model."""
    params = module.data_input_params
    height, width = params.input_size
    mean, std = _three(params.mean), _three(params.std)
    return ImageSpec(int(height), int(width), resize="stretch", antialias=True, mean=mean, std=std)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
