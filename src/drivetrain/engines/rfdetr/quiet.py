"""Importing RF-DETR, and silencing its messages about things that are as intended."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from drivetrain.torch_training.process import only_errors

_LOGGERS = ("rf-detr", "faster_coco_eval", "faster_coco_eval.core", "transformers")
_MODULES = r"(rfdetr|pytorch_lightning|torchmetrics|albumentations|torch|faster_coco_eval|transformers|deprecate)\b.*"


def rfdetr() -> Any:
    """The package, imported on first use."""
    with contained():
        return importlib.import_module("rfdetr")


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Within the block, silence RF-DETR and its dependencies except for errors."""
    with only_errors(_LOGGERS, _MODULES):
        warnings.filterwarnings("ignore", message=r".*instantiated with pretrain_weights=None.*")
        yield
