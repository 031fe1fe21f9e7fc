"""Which parts of a network are trained, and how fast: the backbone may be frozen, or have its own learning rate."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from drivetrain.errors import UnsupportedOptionError
from drivetrain.types.options import TrainOptions

_NAMES = ("backbone", "pixel_level_module.encoder", "features")


def backbone_of(net: nn.Module, head: Sequence[str]) -> list[str]:
    """The names of the parameters of the backbone.

    Args:
        net: the network.
        head: name prefixes of the part that depends on the labels; in a classifier the rest is the backbone.

    Returns:
        The parameters of a module named "backbone"; else of the base model of a transformers model; else, if ``head``
        is given, all others. Empty if the backbone is unknown.
    """
    names = [name for name, _ in net.named_parameters()]
    for wanted in _NAMES[:-1] if head else _NAMES:
        found = [name for name in names if f".{wanted}." in f".{name}"]
        if found:
            return found
    prefix = getattr(net, "base_model_prefix", "")
    found = [name for name in names if prefix and name.startswith(f"{prefix}.")]
    if found or not head:
        return found
    return [name for name in names if not any(name == part or name.startswith(f"{part}.") for part in head)]


def check_backbone(net: nn.Module, head: Sequence[str], options: TrainOptions, name: str) -> None:
    """Refuse options for the backbone if it is unknown which part that is.

    Raises:
        UnsupportedOptionError: names the option.
    """
    given = {key: value for key in ("freeze_backbone", "backbone_learning_rate") if (value := getattr(options, key))}
    for key, value in given.items():
        if not backbone_of(net, head):
            raise UnsupportedOptionError(
                f"{key}={value!r} cannot be honoured: {name} has no known backbone. Leave it out."
            )


def optimizer_of(
    net: nn.Module, *, rate: float, backbone_rate: float | None, head: Sequence[str], weight_decay: float, fused: bool
) -> torch.optim.Optimizer:
    """AdamW over the trained parts, without decay on biases and norms.

    Args:
        net: the network.
        rate: the peak of the learning rate.
        backbone_rate: the peak for the backbone; ``rate`` if ``None``.
        head: see :func:`backbone_of`.
        weight_decay: decay of the other weights.
        fused: whether the device has a fused step.
    """
    backbone = set(backbone_of(net, head)) if backbone_rate is not None else set()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, value in net.named_parameters():
        if value.requires_grad:
            decays = value.ndim > 1 and not name.endswith(".bias")
            groups.setdefault((name in backbone, decays), []).append(value)
    rates = {False: rate, True: backbone_rate}
    return torch.optim.AdamW(
        [
            {"params": values, "weight_decay": weight_decay if decays else 0.0, "lr": rates[of_backbone]}
            for (of_backbone, decays), values in sorted(groups.items(), key=lambda item: item[0])
        ],
        lr=rate,
        fused=fused,
    )


@contextmanager
def frozen_backbone(module: Any, head: Sequence[str], *, asked: bool) -> Iterator[None]:
    """Freeze the backbone within the block: its weights, and the averages of its normalisation.

    Args:
        module: with the network as ``net``; already in training mode.
        head: see :func:`backbone_of`.
        asked: whether to freeze it at all.
    """
    names = set(backbone_of(module.net, head)) if asked else set()
    values = [value for name, value in module.net.named_parameters() if name in names and value.requires_grad]
    owners = {name.rpartition(".")[0] for name in names}
    parts = [part for name, part in module.net.named_modules() if name in owners]
    for value in values:
        value.requires_grad_(False)
    for part in parts:
        part.eval()
    try:
        yield
    finally:
        for value in values:
            value.requires_grad_(True)
