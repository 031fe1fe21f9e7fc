"""Finding the weights in a checkpoint, and loading them into a network."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from drivetrain.errors import CheckpointError

_WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "state_dict_ema", "model")
_PREFIXES = ("module.", "net.", "model.", "_orig_mod.")


def named_tensors(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, whatever tool wrote it.

    Raises:
        CheckpointError: there are none.
    """
    for key in _WRAPPINGS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            content = inner
            break
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"checkpoint={str(path)!r} holds no weights; its entries are {', '.join(content)[:200]}.")
    return tensors


def without_prefix(tensors: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors without a prefix that all of them share, if the network does not have it."""
    found = dict(tensors)
    for _ in range(3):
        shared = next((p for p in _PREFIXES if found and all(name.startswith(p) for name in found)), None)
        if shared is None or all(name.startswith(shared) for name in names):
            return found
        found = {name.removeprefix(shared): value for name, value in found.items()}
    return found


def fit_weights(net: nn.Module, tensors: Mapping[str, Tensor], head: Sequence[str], origin: str) -> list[str]:
    """Load the weights into the network: by name, or else by order if all shapes match.

    Args:
        net: the network; changed in place.
        tensors: name -> tensor.
        head: prefixes of the classifier's names; it is skipped if its shape differs.
        origin: where the weights come from, for messages.

    Returns:
        Notes for the user.

    Raises:
        CheckpointError: they fit neither by name nor by order.
    """
    own = net.state_dict()
    found = without_prefix(tensors, list(own))
    notes = []
    if not _covers(own, found, head):
        renamed = _by_order(own, found, head)
        if renamed is None:
            raise CheckpointError(f"{origin} does not fit the model: {_difference(own, found, head)}")
        found = renamed
        notes.append(f"{origin}: the names differ from the model's, so the {len(found)} tensors were loaded in order.")
    skipped = [
        name for name in own if is_head(name, head) and (name not in found or found[name].shape != own[name].shape)
    ]
    if skipped:
        notes.append(f"{origin}: the classifier was skipped because its size differs; it starts from random weights.")
        skipped = [name for name in own if is_head(name, head)]
    net.load_state_dict({name: own[name] if name in skipped else found.get(name, own[name]) for name in own})
    return notes


def is_head(name: str, head: Sequence[str]) -> bool:
    """Whether a tensor belongs to the classifier."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in head)


def _optional(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _covers(own: Mapping[str, Tensor], found: Mapping[str, Tensor], head: Sequence[str]) -> bool:
    return all(
        name in found and found[name].shape == value.shape
        for name, value in own.items()
        if not is_head(name, head) and not _optional(name)
    )


def _by_order(own: Mapping[str, Tensor], found: Mapping[str, Tensor], head: Sequence[str]) -> dict[str, Tensor] | None:
    for drop in (False, True):
        names = [name for name in own if not (drop and _optional(name))]
        values = [value for name, value in found.items() if not (drop and _optional(name))]
        if len(names) == len(values) and all(
            own[name].shape == value.shape or is_head(name, head) for name, value in zip(names, values, strict=True)
        ):
            return dict(zip(names, values, strict=True))
    return None


def _difference(own: Mapping[str, Tensor], found: Mapping[str, Tensor], head: Sequence[str]) -> str:
    body = [name for name in own if not is_head(name, head)]
    for name in body:
        if name in found and found[name].shape != own[name].shape:
            return f"{name} is {tuple(found[name].shape)} in it and {tuple(own[name].shape)} in the model."
    missing = [name for name in body if name not in found and not _optional(name)]
    return (
        f"it has {len(found)} tensors and the model {len(own)}; {len(missing)} of the model's are missing, "
        f"the first is {missing[0] if missing else 'none'}. Does it have a different architecture?"
    )


def copy_rows(
    net: nn.Module,
    tensors: Mapping[str, Tensor],
    head: Sequence[str],
    ours: Sequence[str],
    theirs: Sequence[str],
    origin: str,
) -> list[str]:
    """Warm start: everything except the classifier unchanged, and the classifier's rows of the shared labels.

    Raises:
        CheckpointError: the rest of the network does not fit.
    """
    own = net.state_dict()
    found = without_prefix(tensors, list(own))
    if not _covers(own, found, head):
        raise CheckpointError(f"{origin} does not fit the model: {_difference(own, found, head)}")
    shared = [name for name in ours if name in theirs]
    rows = [(ours.index(name), theirs.index(name)) for name in shared]
    state = dict(own)
    for name, value in own.items():
        if not is_head(name, head):
            state[name] = found.get(name, value)
        elif name in found and value.shape[1:] == found[name].shape[1:] and len(found[name]) == len(theirs):
            value = value.clone()
            for to, origin_row in rows:
                value[to] = found[name][origin_row]
            state[name] = value
    net.load_state_dict(state)
    if tuple(ours) == tuple(theirs):
        return [f"Started from {origin}."]
    new = [name for name in ours if name not in theirs]
    return [
        f"Started from {origin}, whose labels differ: the classifier keeps {_listed(shared)}; "
        f"new, from random weights: {_listed(new)}."
    ]


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
