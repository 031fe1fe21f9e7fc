"""Checkpoints of getitune's models: ours, and those of its own training. Nothing in them is executed."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from drivetrain.errors import CheckpointError, UnsafeCheckpointError, either
from drivetrain.torch_training.checkpoint import note_of_start, read_checkpoint

OUR_KEY = "drivetrain_getitune"


@dataclass(frozen=True, slots=True)
class SavedGetitune:
    """A model in a file.

    Attributes:
        path: the path of the file.
        recipe: the name of its recipe; ``None`` if the file does not state it.
        task: the task stated with it.
        class_path: the class of the model, if stated.
        label_names: the labels of its head.
        input_size: ``(height, width)`` of its input, if stated.
        arguments: the arguments that the user gave to its class.
        tensors: its weights.
    """

    path: Path
    recipe: str | None
    task: str | None
    class_path: str | None
    label_names: tuple[str, ...]
    input_size: tuple[int, int] | None
    arguments: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def read(path: Path) -> SavedGetitune:
    """The model in a checkpoint.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: opening it would execute code, as it would with checkpoints of OTX 2.
        CheckpointError: it contains no model of getitune.
    """
    try:
        content = read_checkpoint(path)
    except UnsafeCheckpointError as error:
        if "otx" not in str(error):
            raise
        raise UnsafeCheckpointError(
            f"checkpoint={str(path)!r} was written by OTX 2, whose checkpoints can only be opened by running code from "
            "them. Nothing was run. Export the model with OTX and open its IR: "
            f"{either('load(MODEL_XML)', 'drivetrain predict --model MODEL_XML')}, or train a model of getitune again."
        ) from error
    state, hyper = content.get("state_dict"), content.get("hyper_parameters") or {}
    labels = (hyper.get("label_info") or {}).get("label_names")
    if not isinstance(state, Mapping) or labels is None:
        raise CheckpointError(
            f"checkpoint={str(path)!r} contains no model of getitune; its entries are {', '.join(content)[:200]}."
        )
    ours = content.get(OUR_KEY) or {}
    size = (hyper.get("data_input_params") or {}).get("input_size")
    return SavedGetitune(
        path,
        ours.get("recipe") or None,
        ours.get("task") or None,
        ours.get("class") or None,
        tuple(map(str, labels)),
        (int(size[0]), int(size[1])) if size else None,
        ours.get("arguments") or {},
        {str(name): value for name, value in state.items() if isinstance(value, Tensor)},
    )


def load(module: Any, saved: SavedGetitune, origin: str) -> None:
    """Load the weights of a file into a model of the same class and labels.

    Raises:
        CheckpointError: they do not fit.
    """
    try:
        module.load_state_dict(dict(saved.tensors))
    except RuntimeError as error:
        raise CheckpointError(f"{origin} does not fit the model: {' '.join(str(error).split())[:300]}") from error


def fit_weights(module: Any, saved: SavedGetitune, label_names: Sequence[str], head: Sequence[str]) -> list[str]:
    """Load what fits, and the rows of the head by the names of the labels.

    Args:
        module: the model; changed in place.
        saved: where the weights come from.
        label_names: the labels of the model.
        head: the tensors whose rows belong to labels.

    Returns:
        Notes for the user.

    Raises:
        CheckpointError: nothing fits.
    """
    own = module.state_dict()
    ours, theirs = list(label_names), list(saved.label_names)
    taken, skipped = {}, []
    for name, value in own.items():
        other = saved.tensors.get(name)
        if name in head and other is not None and ours != theirs:
            taken[name] = _by_label(value, other, ours, theirs)
        elif other is not None and other.shape == value.shape:
            taken[name] = other
        else:
            skipped.append(name)
    if not set(taken) - set(head):
        raise CheckpointError(f"checkpoint={str(saved.path)!r} does not fit the model: it is from another one.")
    module.load_state_dict({**own, **taken})
    return [note_of_start(saved.path.name, ours, theirs), *_left_out(saved.path.name, skipped)]


def _by_label(mine: Tensor, other: Tensor, ours: Sequence[str], theirs: Sequence[str]) -> Tensor:
    """The rows of the labels that both have; a row stands for each label, and more for each anchor or for nothing."""
    if len(mine) % len(ours) or len(other) % len(theirs) or len(mine) // len(ours) != len(other) // len(theirs):
        return mine
    groups = len(mine) // len(ours)
    value = mine.clone().reshape(groups, len(ours), *mine.shape[1:])
    source = other.reshape(groups, len(theirs), *other.shape[1:])
    if value.shape[2:] != source.shape[2:]:
        return mine
    for row, name in enumerate(ours):
        if name in theirs:
            value[:, row] = source[:, theirs.index(name)]
    return value.reshape(mine.shape)


def _left_out(origin: str, skipped: Sequence[str]) -> list[str]:
    if not skipped:
        return []
    return [f"{origin}: {len(skipped)} tensors do not fit and were left out: {', '.join(skipped[:3])}, ..."]
