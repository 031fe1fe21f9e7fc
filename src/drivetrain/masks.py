"""Moved to :mod:`drivetrain.images.masks`; this name goes away with the next release."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    from drivetrain.images import masks

    value = getattr(masks, name)
    warnings.warn(f"drivetrain.masks.{name} is drivetrain.images.masks.{name} now.", DeprecationWarning, stacklevel=2)
    return value
