"""Loading weights into an RF-DETR model by name, and its head by class names."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from drivetrain.errors import CheckpointError
from drivetrain.torch_training.checkpoint import note_of_start

_HEADS = ("class_embed.", "transformer.enc_out_class_embed.")


def label_rows(name: str) -> bool:
    """Whether a tensor has a row for each class, plus a last one for "nothing"."""
    return name.startswith(_HEADS)


def fit_weights(
    net: Any,
    tensors: Mapping[str, Tensor],
    *,
    ours: Sequence[str] | None,
    theirs: Sequence[str] | None,
    side: int,
    origin: str,
) -> list[str]:
    """Load the matching weights into a network.

    Args:
        net: RF-DETR's network; changed in place.
        tensors: name -> tensor, under RF-DETR's names.
        ours: the class names of the network; ``None`` if unknown.
        theirs: the class names of the weights.
        side: the side of the square grid of patches for which the network has positions.
        origin: where the weights come from, for messages.

    Returns:
        Notes for the user.

    Raises:
        CheckpointError: the weights are from a different architecture.
    """
    found = dict(tensors)
    importlib.import_module("rfdetr.models.weights").interpolate_position_embeddings(found, side)
    own = net.state_dict()
    body = [name for name in own if not label_rows(name) and not _of_keypoints(name)]
    wrong = [name for name in body if name not in found or found[name].shape != own[name].shape]
    if wrong:
        raise CheckpointError(f"{origin} does not fit the model: {_difference(wrong, own, found)}")
    same_labels = ours is None or theirs is None or tuple(ours) == tuple(theirs)
    state, skipped = {}, []
    for name, value in own.items():
        other = found.get(name)
        if other is not None and other.shape == value.shape and (same_labels or not label_rows(name)):
            state[name] = other
        elif other is not None and label_rows(name) and ours is not None and theirs is not None:
            state[name] = _by_class(value, other, ours, theirs)
        else:
            state[name] = value
            skipped.append(name)
    net.load_state_dict(state)
    return [note_of_start(origin, ours or (), (ours if same_labels else theirs) or ()), *_left_out(origin, skipped)]


def _by_class(mine: Tensor, other: Tensor, ours: Sequence[str], theirs: Sequence[str]) -> Tensor:
    """The rows of the classes that both have, and the last row, for "nothing"."""
    value = mine.clone()
    for row, name in enumerate(ours):
        if name in theirs:
            value[row] = other[theirs.index(name)]
    if len(other) > len(theirs) and len(mine) > len(ours):
        value[-1] = other[-1]
    return value


def _of_keypoints(name: str) -> bool:
    return "keypoint" in name or "_kp_" in name


def _difference(wrong: Sequence[str], own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    for name in wrong:
        if name in found:
            return f"{name} is {tuple(found[name].shape)} in it and {tuple(own[name].shape)} in the model."
    return f"{len(wrong)} tensors of the model are missing in it, the first is {wrong[0]}. Is it from another model?"


def _left_out(origin: str, skipped: Sequence[str]) -> list[str]:
    if not skipped:
        return []
    return [f"{origin}: {len(skipped)} tensors were skipped because their sizes differ: {', '.join(skipped[:3])}, ..."]


def set_labels(detr: Any, names: Sequence[str], before: Sequence[str]) -> list[str]:
    """Give a model a head for other classes, keeping the rows of the classes it already has.

    Args:
        detr: RF-DETR's object; changed in place.
        names: the classes it should have.
        before: the classes it has.

    Returns:
        Notes for the user.
    """
    if tuple(names) == tuple(before):
        return []
    net = detr.model.model
    old = {name: value.clone() for name, value in net.state_dict().items() if label_rows(name)}
    detr.model.reinitialize_detection_head(len(names) + 1)
    detr.model_config.num_classes = len(names)
    state = net.state_dict()
    with torch.no_grad():
        for name, value in old.items():
            state[name].copy_(_by_class(state[name], value, names, before))
    detr.model.class_names = list(names)
    kept = [name for name in names if name in before]
    return [f"The model had other labels; its head keeps {', '.join(kept[:10]) or 'none'}."]
