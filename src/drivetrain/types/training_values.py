"""Checks of the values of training options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from drivetrain.errors import OptionError, near

_SIDES = 2


def check_factors(ema: Any, scale_jitter: Any) -> None:
    """Refuse a decay outside (0, 1) and a factor outside (1, 10); ``None`` means not set.

    Raises:
        OptionError: one of the values is not allowed.
    """
    for name, value, least, most, such in (("ema", ema, 0, 1, "0.999"), ("scale_jitter", scale_jitter, 1, 10, "1.5")):
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least < value < most:
            raise OptionError(f"{name}={value!r} must be a number above {least} and below {most}, such as {such}.")


def check_learning_rate(value: float | None, name: str = "learning_rate") -> None:
    """Refuse a learning rate that cannot work.

    Raises:
        OptionError: it is not a number, not finite, or not greater than 0.
    """
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise OptionError(f"{name}={value!r} must be a finite number greater than 0, such as 0.001.")


def check_class_weights(value: Any) -> None:
    """Refuse a value that is neither "balanced" nor positive weights by label; ``None`` means not set.

    Raises:
        OptionError: the value is not allowed.
    """
    if value is None or value == "balanced":
        return
    if not isinstance(value, Mapping) or not value:
        raise OptionError(
            f"class_weights={value!r} is not allowed.{near(str(value), ['balanced'])} Allowed: balanced, or weights by "
            "label such as {'scratch': 5}."
        )
    for name, weight in value.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise OptionError(f"class_weights: {name}={weight!r} must be a finite number greater than 0.")


def check_devices(value: int | Sequence[int]) -> None:
    """Refuse a value that is neither a number of devices nor a list of device indices.

    Raises:
        OptionError: the value is not allowed.
    """
    numbers = list(value) if isinstance(value, Sequence) else [value]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    least = 0 if isinstance(value, Sequence) else -1
    if not numbers or not whole or value == 0 or min(numbers) < least:
        raise OptionError(
            f"devices={value!r}; give how many devices to use (at least 1), -1 for all, or a list of numbers."
        )


def check_val_interval(value: float | None) -> None:
    """Refuse a value that is neither a fraction of an epoch nor a number of batches.

    Raises:
        OptionError: the value is not allowed.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(
            f"val_check_interval={value!r} must be a fraction of an epoch (0.5) or a number of batches (100)."
        )
    if isinstance(value, float) and not 0.0 < value <= 1.0:
        raise OptionError(
            f"val_check_interval={value!r}: a fraction of an epoch must be greater than 0.0 and at most 1.0. To "
            "validate less often than once per epoch, give check_val_every_n_epoch."
        )
    if isinstance(value, int) and value < 1:
        raise OptionError(f"val_check_interval={value!r}: a number of batches is at least 1.")


def check_image_size(value: int | tuple[int, int] | None) -> None:
    """Refuse an image size that is not one or two positive whole numbers.

    Raises:
        OptionError: it is not.
    """
    if value is None:
        return
    sizes = tuple(value) if isinstance(value, Sequence) else (value, value)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if len(sizes) != _SIDES or not whole or min(sizes) < 1:
        raise OptionError(f"image_size={value!r}; give one number of pixels, or (height, width).")


def check_backbone(freeze: Any, rate: float | None) -> None:
    """Refuse a value that is not a switch, an invalid learning rate, and both options together; ``None`` means not set.

    Raises:
        OptionError: one of the values is not allowed.
    """
    check_learning_rate(rate, "backbone_learning_rate")
    if freeze is not None and not isinstance(freeze, bool):
        raise OptionError(f"freeze_backbone={freeze!r} must be true or false.")
    if freeze and rate is not None:
        raise OptionError("freeze_backbone=True and backbone_learning_rate contradict each other; leave out one.")
