"""Loading weights into a network by name, and those of its head for the shared classes."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from drivetrain.engines.lightning.models.weights import fit_weights, without_prefix
from drivetrain.engines.lightning.vision.adapter import ClassRows, VisionAdapter
from drivetrain.errors import CheckpointError


def give_weights(
    adapter: VisionAdapter,
    tensors: Mapping[str, Tensor],
    *,
    ours: Sequence[str],
    theirs: Sequence[str] | None,
    origin: str,
) -> list[str]:
    """Load the matching weights into a network.

    Args:
        adapter: the adapter; its network is changed in place.
        tensors: name -> tensor.
        ours: the labels of the network.
        theirs: the labels of the weights; ``None`` if unknown.
        origin: where the weights come from, for messages.

    Returns:
        Notes for the user.

    Raises:
        CheckpointError: the weights are from a different architecture.
    """
    adapter.pretrained = True
    rows = adapter.class_rows(ours)
    if theirs is None or tuple(theirs) == tuple(ours):
        notes = fit_weights(adapter.net, tensors, tuple(rows), origin)
        return [f"Started from {origin}.", *notes]
    found = without_prefix(tensors, list(adapter.net.state_dict()))
    state = _joined(adapter.net, found, rows, adapter.class_rows(theirs), origin)
    adapter.net.load_state_dict(state)
    kept = [name for name in ours if name in theirs]
    new = [name for name in ours if name not in theirs]
    return [
        f"Started from {origin}, whose labels differ: the head keeps {_listed(kept)}; "
        f"new, from random weights: {_listed(new)}."
    ]


def _joined(
    net: nn.Module,
    found: Mapping[str, Tensor],
    rows: Mapping[str, ClassRows],
    other_rows: Mapping[str, ClassRows],
    origin: str,
) -> dict[str, Any]:
    state: dict[str, Any] = dict(net.state_dict())
    for name, value in state.items():
        there = found.get(name)
        if there is None and name.endswith("num_batches_tracked"):
            continue
        if there is None:
            raise CheckpointError(
                f"{origin} does not fit the model: it has no {name}. Does it have a different architecture?"
            )
        if name in rows:
            state[name] = _by_class(value, there, rows[name], other_rows[name])
        elif there.shape == value.shape:
            state[name] = there
        else:
            raise CheckpointError(
                f"{origin} does not fit the model: {name} is {tuple(there.shape)} in it and {tuple(value.shape)} in "
                "the model."
            )
    return state


def _by_class(mine: Tensor, other: Tensor, ours: ClassRows, theirs: ClassRows) -> Tensor:
    """My tensor with the parts of the classes that the other one also has."""
    if mine.numel() % (ours.before * len(ours.names)) or other.numel() % (theirs.before * len(theirs.names)):
        return mine
    value = ours.split(mine.clone())
    given = theirs.split(other)
    if value.shape[0] != given.shape[0] or value.shape[2] != given.shape[2]:
        return mine
    for row, name in enumerate(ours.names):
        if name in theirs.names:
            value[:, row] = given[:, theirs.names.index(name)]
    return value.reshape(mine.shape)


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")) or "none"
