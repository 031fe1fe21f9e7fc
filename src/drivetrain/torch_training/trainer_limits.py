"""What no Lightning trainer can honour here; checked without importing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivetrain.errors import UnsupportedOptionError
from drivetrain.types.options import TrainOptions

#: Arguments of the Lightning trainer that the engine sets: name -> the option that controls them.
SET_BY_ENGINE = {
    "accelerator": "Engine(device=...)",
    "devices": "train(devices=...)",
    "num_nodes": "train(nodes=...)",
    "precision": "train(precision=...)",
    "logger": "train(logger=...)",
    "callbacks": "train(callbacks=...)",
    "max_epochs": "train(max_epochs=...)",
    "check_val_every_n_epoch": "train(check_val_every_n_epoch=...)",
    "val_check_interval": "train(val_check_interval=...)",
    "deterministic": "train(deterministic=...)",
    "default_root_dir": "Engine(work_dir=...)",
    "enable_progress_bar": "drivetrain, which shows its own progress",
    "enable_checkpointing": "drivetrain, which saves the best and the last state",
    "barebones": "drivetrain, which needs callbacks and checkpoints",
}


def check(options: TrainOptions, *, device: str) -> None:
    """Refuse options that a Lightning trainer never honours here.

    Args:
        options: the options of ``train``.
        device: as given to the engine; "auto" is not resolved.

    Raises:
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    check_one_device(options.devices)
    check_for_several(options, device=device)


def check_for_several(options: TrainOptions, *, device: str) -> None:
    """As :func:`check`, for an engine that trains on several devices too.

    Args:
        options: the options of ``train``.
        device: as given to the engine; "auto" is not resolved.

    Raises:
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    for name in options.engine_args or {}:
        if name in SET_BY_ENGINE:
            raise UnsupportedOptionError(f"engine_args: {name} is set by {SET_BY_ENGINE[name]}; leave it out.")
    check_precision(options.precision, device.partition(":")[0])


def refuse_fixed(given: Mapping[str, Any], fixed: Sequence[str], data: Any) -> None:
    """Refuse options that the user's own data module already fixes.

    Args:
        given: the options that were given, by name.
        fixed: the options that it fixes.
        data: the data module.

    Raises:
        UnsupportedOptionError: the message names the first of them.
    """
    for name in fixed:
        if name in given:
            raise UnsupportedOptionError(
                f"{name}={given[name]!r} cannot be honoured: your own {type(data).__name__} fixes it. Set it there."
            )


def check_one_device(devices: int | Sequence[int], reason: str = "this engine trains in one process") -> None:
    """Refuse several devices.

    Args:
        devices: as given to ``train``.
        reason: why.

    Raises:
        UnsupportedOptionError: more than one is requested.
    """
    count = devices if isinstance(devices, int) else len(devices)
    if count != 1:
        raise UnsupportedOptionError(
            f"devices={devices!r} cannot be honoured: {reason}. Leave devices out, or give one."
        )


def check_precision(precision: str, kind: str) -> None:
    """Refuse a precision that a type of device does not support.

    Raises:
        UnsupportedOptionError: it cannot be honoured.
    """
    if precision == "fp16" and kind == "cpu":
        raise UnsupportedOptionError("precision='fp16' cannot be honoured on the CPU. Allowed there: auto, fp32, bf16.")
