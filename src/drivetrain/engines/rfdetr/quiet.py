"""Checking the release of RF-DETR, and silencing its messages about things that are as intended."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from packaging.specifiers import SpecifierSet

from drivetrain.engines.rfdetr import SPEC
from drivetrain.errors import MissingDependencyError
from drivetrain.machine.packages import version_of

_LOGGERS = ("rf-detr", "faster_coco_eval", "faster_coco_eval.core", "transformers")
_MODULES = r"(rfdetr|pytorch_lightning|torchmetrics|albumentations|torch|faster_coco_eval|transformers|deprecate)\b.*"


def require_release() -> None:
    """Refuse a release that the engine does not support; later ones score keypoints and augment images differently.

    Raises:
        MissingDependencyError: the installed RF-DETR is too old or too new.
    """
    installed, wanted = version_of("rfdetr"), SPEC.upstream["rfdetr"]
    if installed is not None and installed not in SpecifierSet(wanted, prereleases=True):
        raise MissingDependencyError(
            f"rfdetr {installed} is installed, but the engine 'rfdetr' supports {wanted}. "
            f"Install one of these: pip install 'rfdetr{wanted}'"
        )


def rfdetr() -> Any:
    """The package, imported on first use."""
    with contained():
        return importlib.import_module("rfdetr")


class _Errors(logging.Filter):
    """Lets only errors pass. A level would not do: RF-DETR resets its own whenever one of its modules is imported."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is an error."""
        return record.levelno >= logging.ERROR


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Within the block, silence RF-DETR and its dependencies except for errors."""
    loggers, errors = [logging.getLogger(name) for name in _LOGGERS], _Errors()
    for logger in loggers:
        logger.addFilter(errors)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_MODULES)
            warnings.filterwarnings("ignore", message=r".*instantiated with pretrain_weights=None.*")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(errors)
