"""Creating RF-DETR's model objects from a name, a class or a checkpoint, and reading their facts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engines.rfdetr.checkpoint import Saved, read, require_class
from drivetrain.engines.rfdetr.quiet import contained
from drivetrain.engines.rfdetr.variants import class_of
from drivetrain.engines.rfdetr.weights import fit_weights
from drivetrain.errors import OptionError
from drivetrain.torch_training.process import own_randomness
from drivetrain.types import ImageSpec

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def build(
    cls: Any,
    arguments: Mapping[str, Any],
    *,
    labels: Sequence[str] | None,
    keypoints: int,
    resolution: int | None,
    seed: int,
) -> tuple[Any, list[str]]:
    """A new instance of one of RF-DETR's classes, with notes for the user.

    Args:
        cls: the class.
        arguments: fields of its configuration; ``pretrain_weights`` is a local file.
        labels: the classes of its head; ``None`` for RF-DETR's own number of classes.
        keypoints: the number of keypoints of each class.
        resolution: side of its input in pixels; ``None`` for RF-DETR's default for the model.
        seed: the seed of its random weights.

    Raises:
        OptionError: an argument has a wrong value.
        CheckpointError: the weights do not fit.
    """
    given = dict(arguments)
    weights = given.pop("pretrain_weights", None)
    if labels is not None:
        given["num_classes"] = len(labels)
        if keypoints:
            given["num_keypoints_per_class"] = [keypoints] * len(labels)
    if resolution is not None:
        given["resolution"] = resolution
    detr = _construct(cls, given, seed)
    require_resolution(detr.model_config, detr.model_config.resolution, "resolution")
    detr.model.class_names = list(labels) if labels is not None else None
    if weights is None:
        return detr, ["It starts from random weights; RF-DETR's own can be given as pretrain_weights, a local file."]
    saved = read(Path(weights))
    return detr, give_weights(detr, saved, Path(weights).name, label_names=labels)


def open_saved(saved: Saved, origin: str) -> Any:
    """The object from which a checkpoint was saved."""
    detr = _construct(class_of(require_class(saved)), dict(saved.config), 0)
    detr.model.class_names = list(saved.label_names) if saved.label_names is not None else None
    give_weights(detr, saved, origin, label_names=saved.label_names)
    return detr


def give_weights(detr: Any, saved: Saved, origin: str, *, label_names: Sequence[str] | None) -> list[str]:
    """Load the weights of a checkpoint into an object.

    Raises:
        CheckpointError: they are from a different architecture.
    """
    with contained():
        return fit_weights(
            detr.model.model,
            saved.tensors,
            ours=label_names,
            theirs=saved.label_names or (label_names_of(None, len(saved.tensors["class_embed.bias"]))),
            side=detr.model_config.positional_encoding_size,
            origin=origin,
        )


def _construct(cls: Any, fields: dict[str, Any], seed: int) -> Any:
    error_class = importlib.import_module("pydantic").ValidationError
    with contained(), own_randomness(seed):
        try:
            return cls(**{"device": "cpu", **fields, "pretrain_weights": None})
        except error_class as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "model_args"
            raise OptionError(f"{name}={first.get('input')!r}: {first['msg']}.") from error


def label_names_of(names: Sequence[str] | None, outputs: int) -> tuple[str, ...]:
    """The name of each output of a head that stands for a class.

    A head without names is numbered as COCO numbers its categories, with gaps, like RF-DETR's published weights; a head
    with names has one more output than names, for "nothing".

    Args:
        names: the names of its classes, if it was trained for particular ones.
        outputs: the number of outputs of the head.
    """
    if names:
        return tuple(names)
    coco: Mapping[int, str] = importlib.import_module("rfdetr.assets.coco_classes").COCO_CLASSES
    return tuple(coco.get(number, f"unused {number}") for number in range(outputs))


def names_of(detr: Any) -> tuple[str, ...]:
    """The name of each class of an object, by its number."""
    outputs = int(detr.model.model.class_embed.bias.shape[0])
    return label_names_of(detr.model.class_names, outputs)


def image_spec(detr: Any) -> ImageSpec:
    """How an image becomes the input of a model object."""
    side = int(detr.model_config.resolution)
    return ImageSpec(side, side, resize="stretch", antialias=True, mean=_MEAN, std=_STD)


def require_resolution(config: Any, side: int, option: str) -> None:
    """Refuse a side that RF-DETR cannot divide into windows of patches.

    Raises:
        OptionError: it cannot be divided.
    """
    block = config.patch_size * config.num_windows
    if side % block or side < block:
        near = max(block, round(side / block) * block)
        raise OptionError(
            f"{option}={side} is not divisible by {block}, as this RF-DETR model requires ({config.num_windows} "
            f"windows of patches of {config.patch_size} pixels). The nearest valid ones: {near}."
        )


def set_resolution(detr: Any, side: int) -> None:
    """Change the input size of an object; its weights stay, and its position embeddings are interpolated."""
    config = detr.model_config
    if side == config.resolution:
        return
    derived = config.positional_encoding_size == config.resolution // config.patch_size
    config.resolution = side
    if derived:
        config.positional_encoding_size = side // config.patch_size
    tensors = dict(detr.model.model.state_dict())
    fresh = _construct(class_of(type(detr).__name__), {**config.model_dump(), "pretrain_weights": None}, 0)
    with contained():
        fit_weights(
            fresh.model.model, tensors, ours=None, theirs=None, side=config.positional_encoding_size, origin="it"
        )
    detr.model.model, detr.model.resolution, detr.model.args = fresh.model.model, side, fresh.model.args
