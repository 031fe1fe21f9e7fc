"""Reading RF-DETR checkpoints: ours, those of its own training, and published ones."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from drivetrain.engines.rfdetr.variants import Variant, config_class_of, variants
from drivetrain.errors import CheckpointError
from drivetrain.torch_training.checkpoint import read_checkpoint

OUR_KEY = "drivetrain_rfdetr"
#: Fields of a configuration that do not distinguish variants.
_FREE = {"num_classes", "num_keypoints_per_class", "resolution", "positional_encoding_size", "num_select", "amp"}
_FREE |= {"gradient_checkpointing", "compile", "fused_optimizer", "freeze_encoder", "license", "cls_loss_coef"}
#: Fields that say where a model was created, not what it is.
_PLACES = {"pretrain_weights", "device", "model_name"}
_HEAD = "class_embed.bias"


@dataclass(frozen=True, slots=True)
class Saved:
    """A model stored in a file.

    Attributes:
        path: the path of the file.
        class_name: the name of RF-DETR's class; ``None`` if the file does not state it.
        config: field of its configuration -> value.
        label_names: the names of its classes, if the file states them.
        tensors: its weights, under RF-DETR's own names.
    """

    path: Path
    class_name: str | None
    config: Mapping[str, Any]
    label_names: tuple[str, ...] | None
    tensors: Mapping[str, Tensor]


def read(path: Path) -> Saved:
    """The model in a checkpoint; nothing in the file is executed, and nothing is downloaded.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: opening it would execute code.
        CheckpointError: it contains no RF-DETR model.
    """
    content = read_checkpoint(path, allowed=(argparse.Namespace,))
    tensors = _tensors(content)
    if _HEAD not in tensors:
        raise CheckpointError(
            f"checkpoint={str(path)!r} contains no RF-DETR weights; its entries are {', '.join(content)[:200]}."
        )
    stated = content.get("args") or {}
    arguments = stated if isinstance(stated, Mapping) else vars(stated)
    config = content.get("model_config") or arguments
    name = content.get("model_name") or _matching(config)
    labels = arguments.get("class_names")
    config_class = config_class_of(str(name)) if name is not None else None
    fields = set(config_class.model_fields if config_class is not None else ()) - _PLACES
    known = {key: value for key, value in config.items() if key in fields}
    known["num_classes"] = len(tensors[_HEAD]) - 1
    return Saved(
        path, str(name) if name is not None else None, known, tuple(map(str, labels)) if labels else None, tensors
    )


def _tensors(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """RF-DETR's own entry, else Lightning's, whose names start with the attribute of the module."""
    own = content.get("model")
    if not isinstance(own, Mapping):
        state = content.get("state_dict")
        prefix = "model."
        own = {
            name.removeprefix(prefix).removeprefix("_orig_mod."): value
            for name, value in (state.items() if isinstance(state, Mapping) else ())
            if name.startswith(prefix)
        }
    return {str(name): value for name, value in own.items() if isinstance(value, Tensor)}


def _matching(config: Mapping[str, Any]) -> str | None:
    """The only variant whose configuration matches the given fields; ``None`` if there is not exactly one."""
    found = [variant for variant in variants() if _agrees(variant, config)]
    if len(found) > 1:
        found = [variant for variant in found if variant.config.resolution == config.get("resolution")]
    return found[0].class_name if len(found) == 1 else None


def require_class(saved: Saved) -> str:
    """The class of the model in a file.

    Raises:
        CheckpointError: the file does not state it.
    """
    if saved.class_name is None:
        raise CheckpointError(
            f"checkpoint={str(saved.path)!r} does not say which RF-DETR model it belongs to. Name the model and give "
            f"the file as its weights: model='rfdetr-nano', model_args={{'pretrain_weights': {str(saved.path)!r}}}."
        )
    return saved.class_name


def _agrees(variant: Variant, config: Mapping[str, Any]) -> bool:
    own = {key: value for key, value in variant.config.model_dump().items() if key not in _FREE | _PLACES}
    stated = {key: value for key, value in config.items() if key in own}
    return bool(stated) and all(_plain(value) == _plain(own[key]) for key, value in stated.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
