"""Batches of images for a PyTorch model, prepared in threads while the model works on the previous one."""

# ruff: noqa: TID253 - loaded with the engines on PyTorch only
from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.machine.resources import core_count
from drivetrain.runtime.preprocess import preprocess
from drivetrain.types import ImageSpec

_Waiting = list[tuple[str, tuple[int, int], Future[NDArray[np.float32]]]]


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Preprocessed images with their origin.

    Attributes:
        paths: one for each image.
        sizes: ``(height, width)`` of each original image.
        inputs: ``(B, 3, height, width) float32``, normalised, on the CPU.
    """

    paths: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    inputs: torch.Tensor


def image_batches(
    images: Iterable[tuple[str, NDArray[np.uint8]]], spec: ImageSpec, batch_size: int
) -> Iterator[ImageBatch]:
    """The images in order, in batches; threads prepare the next batch while the caller uses this one.

    Args:
        images: ``(path, (H, W, 3) uint8 RGB)`` pairs, read one batch ahead.
        spec: how an image becomes an input.
        batch_size: size of all batches except the last, which may be smaller.
    """
    stream = iter(images)
    waiting: _Waiting = []
    with ThreadPoolExecutor(core_count(), "drivetrain-images") as pool:
        while True:
            following = [
                (path, (image.shape[0], image.shape[1]), pool.submit(preprocess, image, spec))
                for path, image in islice(stream, batch_size)
            ]
            if waiting:
                paths, sizes, parts = zip(*waiting, strict=True)
                yield ImageBatch(paths, sizes, torch.from_numpy(np.stack([part.result() for part in parts])))
            if not following:
                return
            waiting = following
