"""RF-DETR as it is to behave within another program: it says nothing about things that are as they should be."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

_LOGGERS = ("rf-detr", "faster_coco_eval", "faster_coco_eval.core", "transformers")
_MODULES = r"(rfdetr|pytorch_lightning|torchmetrics|albumentations|torch|faster_coco_eval|transformers|deprecate)\b.*"


def rfdetr() -> Any:
    """The package, imported at the first use."""
    with contained():
        return importlib.import_module("rfdetr")


class _Errors(logging.Filter):
    """Lets errors pass. A level would not do: RF-DETR sets its own again with each module that is imported."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is an error."""
        return record.levelno >= logging.ERROR


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Hold back the remarks of RF-DETR and of what it is made of; errors pass."""
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
