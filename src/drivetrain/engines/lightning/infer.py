"""Ask a classification module about images, and hand it to the export."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.lightning.models.classification import make_prediction
from drivetrain.hardware import choose_device, core_count
from drivetrain.runtime.preprocess import preprocess
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
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in their order.

    While the module works on a batch, threads prepare the next one.
    """
    place = choose_device(device)
    module.to(place)
    several = task is Task.MULTILABEL_CLASSIFICATION
    with ThreadPoolExecutor(core_count(), "drivetrain-images") as pool:
        for batch in _prepared(iter(images), spec, batch_size or _BATCH_SIZE, pool):
            inputs = torch.from_numpy(np.stack([part.result() for _, _, part in batch]))
            with torch.inference_mode(), _answering(module):
                logits = module(inputs.to(place, memory_format=torch.channels_last)).float()
                rows = (logits.sigmoid() if several else logits.softmax(dim=1)).cpu().numpy()
            for (path, size, _), row in zip(batch, rows, strict=True):
                yield make_prediction(path, size, row, task)


def _prepared(
    images: Iterator[tuple[str, NDArray[np.uint8]]], spec: ImageSpec, size: int, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[str, tuple[int, int], Future[NDArray[np.float32]]]]]:
    """Batches whose images are being prepared, one batch ahead."""
    waiting: list[tuple[str, tuple[int, int], Future[NDArray[np.float32]]]] = []
    while True:
        following = [
            (path, (image.shape[0], image.shape[1]), pool.submit(preprocess, image, spec))
            for path, image in islice(images, size)
        ]
        if waiting:
            yield waiting
        if not following:
            return
        waiting = following


@contextmanager
def _answering(module: Any) -> Iterator[None]:
    """Evaluation mode for a while; each part goes back to its own mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def export_source(module: Any, *, spec: ImageSpec, task: Task, label_names: tuple[str, ...]) -> ExportSource:
    """What the export needs: a copy of the module on the CPU that turns normalised images into logits."""
