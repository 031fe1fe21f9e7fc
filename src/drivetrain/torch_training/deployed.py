"""A PyTorch model in the form in which it is exported, asked through the decoder that its artefact has."""

# ruff: noqa: TID253 - loaded with the engines on PyTorch only
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.errors import UnsupportedError
from drivetrain.machine.device import choose_device
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.torch_training.batches import image_batches
from drivetrain.torch_training.look_inside import Images, pooled_output, read_features
from drivetrain.types import ImageSpec, Prediction, Task


@dataclass(frozen=True, slots=True)
class DeployedNetwork:
    """A model in the form in which it is deployed.

    Attributes:
        module: takes ``(B, 3, height, width) float32``, as ``spec`` makes them, and returns a tensor or a tuple of
            tensors.
        spec: how an image becomes its input.
        task: the task of the model.
        label_names: the name of each label, by its number.
        decoder: name of the decoder.
        decoder_args: arguments of the decoder.
        output_names: names of the outputs, in order.
    """

    module: torch.nn.Module
    spec: ImageSpec
    task: Task
    label_names: tuple[str, ...]
    decoder: str
    decoder_args: dict[str, Any]
    output_names: tuple[str, ...]


def infer_deployed(
    deployed: DeployedNetwork,
    images: Images,
    *,
    device: str,
    batch_size: int,
    decoder_args: Mapping[str, Any],
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order.

    While the model works on a batch, threads prepare the next one.

    Args:
        deployed: the model.
        images: what it is asked about.
        device: where to compute.
        batch_size: images in a step.
        decoder_args: arguments of the decoder for this call.
        around: entered whenever the model runs.
    """
    place = choose_device(device)
    module = deployed.module.to(place)
    decoder = make_decoder(deployed.decoder, dict(decoder_args), deployed.label_names, deployed.spec)
    for batch in image_batches(images, deployed.spec, batch_size):
        with torch.inference_mode(), around():
            found = module(batch.inputs.to(place))
        values = found if isinstance(found, tuple) else (found,)
        named = zip(deployed.output_names, values, strict=True)
        outputs = {name: value.float().cpu().numpy() for name, value in named}
        for number, (path, size) in enumerate(zip(batch.paths, batch.sizes, strict=True)):
            yield decoder.decode({name: rows[number : number + 1] for name, rows in outputs.items()}, size, path)


def deployed_features(
    deployed: DeployedNetwork,
    part: torch.nn.Module,
    images: Images,
    *,
    device: str,
    batch_size: int,
    missing: str,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image: the mean over the places of the feature map that a part of the model gives.

    Args:
        deployed: the model.
        part: of its module.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        device: where to compute.
        batch_size: images in a step.
        missing: what to say if it gives no feature map.
        around: entered whenever the model runs.

    Raises:
        UnsupportedError: the part gives no feature map.
    """
    place = choose_device(device)
    module = deployed.module.to(place)

    def ask(inputs: torch.Tensor) -> torch.Tensor:
        with around():
            found = pooled_output(module, part, inputs)
        if found is None:
            raise UnsupportedError(missing)
        return found

    yield from read_features(ask, images, spec=deployed.spec, place=place, batch_size=batch_size)
