"""The model variants of the installed RF-DETR."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from drivetrain.engines.rfdetr.quiet import contained, rfdetr
from drivetrain.errors import ModelError
from drivetrain.machine.packages import version_of
from drivetrain.types.task import Task


@dataclass(frozen=True, slots=True)
class Variant:
    """One RF-DETR class.

    Attributes:
        name: as spelled by RF-DETR, such as ``rfdetr-seg-nano``.
        class_name: such as ``RFDETRSegNano``.
        config: its default configuration; not to be modified.
    """

    name: str
    class_name: str
    config: Any

    @property
    def task(self) -> Task:
        """The task of the variant."""
        return task_of(self.config)


@cache
def variants() -> tuple[Variant, ...]:
    """Every variant whose class and configuration are in the package, except those marked as deprecated."""
    package = rfdetr()
    with contained():
        names = [name for name in dir(package) if re.fullmatch(r"RFDETR\w+", name)]
        found = [_variant(package, name) for name in sorted(names)]
    return tuple(variant for variant in found if variant is not None)


def class_of(name: str) -> Any:
    """The class of the given name, including deprecated ones.

    Raises:
        ModelError: the installed RF-DETR has no such class.
    """
    with contained():
        found = getattr(rfdetr(), name, None) if re.fullmatch(r"RFDETR\w+", name) else None
    if not callable(found):
        known = ", ".join(variant.class_name for variant in variants())
        raise ModelError(f"rfdetr {version_of('rfdetr')} has no model {name!r}. It has: {known}.")
    return found


def config_class_of(name: str) -> Any:
    """The configuration class of a class, or ``None`` if there is none."""
    return getattr(importlib.import_module("rfdetr.config"), f"{name}Config", None)


def task_of(config: Any) -> Task:
    """The task of a model with this configuration."""
    if config.use_grouppose_keypoints:
        return Task.KEYPOINT_DETECTION
    return Task.INSTANCE_SEGMENTATION if config.segmentation_head else Task.DETECTION


def _variant(package: Any, name: str) -> Variant | None:
    config_class, cls = config_class_of(name), getattr(package, name, None)
    if config_class is None or not isinstance(cls, type) or hasattr(cls, "__deprecated__"):
        return None
    return Variant(_spelt(cls, name), name, config_class(pretrain_weights=None))


def _spelt(cls: type, name: str) -> str:
    """RF-DETR's own name for the size, or one derived in the same way from the class name."""
    size = getattr(cls, "size", None)
    parts = re.findall(r"2X?Large|XLarge|[A-Z][a-z]+", name.removeprefix("RFDETR"))
    return str(size) if size else "-".join(["rfdetr", *(part.lower() for part in parts)])
