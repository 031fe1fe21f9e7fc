"""Prediction and export of a classification module."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.lightning.models.classification import ClassificationModule, make_prediction
from drivetrain.engines.lightning.models.lora import merged
from drivetrain.engines.lightning.models.networks import logits_of
from drivetrain.engines.lightning.native import is_lightning_module
from drivetrain.machine.device import choose_device
from drivetrain.torch_training.batches import image_batches
from drivetrain.torch_training.trainer import bare_trainer, package_of
from drivetrain.types import ImageSpec, Prediction, Task

if TYPE_CHECKING:
    from drivetrain.export.source import ExportSource

_BATCH_SIZE = 32


def infer(
    module: Any,
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    *,
    spec: ImageSpec,
    task: Task,
    device: str,
    batch_size: int | None,
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order.

    While the module works on a batch, threads prepare the next one.
    """
    place = choose_device(device)
    module.to(place)
    several = task is Task.MULTILABEL_CLASSIFICATION
    for batch in image_batches(images, spec, batch_size or _BATCH_SIZE):
        with torch.inference_mode(), answering(module):
            logits = module(batch.inputs.to(place, memory_format=torch.channels_last)).float()
            rows = (logits.sigmoid() if several else logits.softmax(dim=1)).cpu().numpy()
        for path, size, row in zip(batch.paths, batch.sizes, rows, strict=True):
            yield make_prediction(path, size, row, task)


@contextmanager
def answering(module: Any) -> Iterator[None]:
    """Within the block, evaluation mode; each part is restored to its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def export_source(module: Any, *, spec: ImageSpec, task: Task, label_names: tuple[str, ...]) -> ExportSource:
    """The module for the exporter, which copies it: it maps normalised images to logits.

    Args:
        module: the module; it is not changed.
        spec: how an image becomes its input.
        task: the task of the module.
        label_names: the name of each output.
    """
    from drivetrain.export.source import ExportSource

    net = merged(module.net) if isinstance(module, ClassificationModule) else module
    return ExportSource(
        image_spec=spec,
        task=task,
        label_names=label_names,
        decoder="multilabel" if task is Task.MULTILABEL_CLASSIFICATION else "classification",
        module=_Forward(net),
        output_names=("logits",),
        dynamic_batch=True,
    )


class _Forward(torch.nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Only the forward of a module, for tracing."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> _Forward:
        """A copy; copying a LightningModule drops its trainer, but tracing needs one."""
        duplicate = copy.deepcopy(self.module, memo)
        if is_lightning_module(duplicate):
            duplicate.trainer = bare_trainer(package_of(duplicate))
        return _Forward(duplicate)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(B, labels)`` logits."""
        logits: torch.Tensor = logits_of(self.module(images))
        return logits
