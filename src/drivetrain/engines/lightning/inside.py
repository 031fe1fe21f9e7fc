"""Look into a classification module: what each cell says alone, and what it makes of an image."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.lightning.models.classification import make_prediction
from drivetrain.engines.lightning.predict import answering
from drivetrain.engines.lightning.vision.vision_module import VisionModule
from drivetrain.errors import UnsupportedError
from drivetrain.machine.device import choose_device
from drivetrain.torch_training.cell_network import CellNetwork
from drivetrain.torch_training.look_inside import (
    Images,
    before_the_head,
    part_named,
    pooled_output,
    read_cells,
    read_features,
)
from drivetrain.types import ImageSpec, Prediction, Task
from drivetrain.types.explanation import CellScores

_BACKBONES = ("backbone", "encoder")


def cells(
    module: Any, *, spec: ImageSpec, task: Task, device: str, name: str
) -> Callable[[Images], Iterator[CellScores]]:
    """What asks a module about images and the cells of its last feature map.

    Args:
        module: gives ``(B, labels)`` logits.
        spec: how an image becomes its input.
        task: what it answers.
        device: where to compute.
        name: of the model, for messages.

    Raises:
        UnsupportedOptionError: it has no layer for it.
    """
    place = choose_device(device)
    module.to(place)
    with answering(module):
        network = CellNetwork(module, torch.zeros(1, 3, *spec.size, device=place), name)

    def decode(row: NDArray[np.float32], size: tuple[int, int], path: str) -> Prediction:
        logits = torch.from_numpy(row)
        probabilities = logits.sigmoid() if task is Task.MULTILABEL_CLASSIFICATION else logits.softmax(dim=0)
        return make_prediction(path, size, probabilities.numpy(), task)

    def ask(images: Iterable[tuple[str, NDArray[np.uint8]]]) -> Iterator[CellScores]:
        with answering(module):
            yield from read_cells(network, images, spec=spec, place=place, decode=decode)

    return ask


def features(
    module: Any, images: Images, *, spec: ImageSpec, device: str, batch_size: int | None, name: str
) -> Iterator[NDArray[np.float32]]:
    """What a module makes of each image before it decides, ``(D,) float32``.

    Args:
        module: a classifier; a module that finds objects or classifies pixels, with a backbone; or a user's own.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        spec: how an image becomes its input.
        device: where to compute.
        batch_size: images in a step.
        name: of the model, for messages.

    Raises:
        UnsupportedError: it does not say where its features are.
    """
    place = choose_device(device)
    module.to(place)

    def ask(inputs: torch.Tensor) -> torch.Tensor:
        found = _features(module, inputs)
        if found is None or found.ndim != 2 or len(found) != len(inputs):
            raise UnsupportedError(
                f"{name} does not say what it makes of an image before it decides: its answer is not what one linear "
                "layer gives, and it has no backbone. Give a LightningModule of your own a method 'embed', "
                "which turns images (B, 3, H, W) into (B, D)."
            )
        return found

    with answering(module):
        yield from read_features(ask, images, spec=spec, place=place, batch_size=batch_size)


def _own_name_of_features(net: Any) -> tuple[str, ...]:
    """The name of the part without the head, which models of transformers state."""
    name = getattr(net, "base_model_prefix", "")
    return (name,) if name else ()


def _features(module: Any, inputs: torch.Tensor) -> torch.Tensor | None:
    """``(B, D)``, by the first way that there is: the module's own, the input of its last layer, its backbone."""
    if inspect.ismethod(getattr(module, "embed", None)):
        own: torch.Tensor = module.embed(inputs)
        return own
    if isinstance(module, VisionModule):
        backbone = part_named(module.net, (*_BACKBONES, *_own_name_of_features(module.net)))
        return None if backbone is None else pooled_output(module, backbone, inputs)
    found = before_the_head(module, inputs)
    net: Any = getattr(module, "net", None)
    if found is None and hasattr(net, "forward_features") and hasattr(net, "forward_head"):  # timm's
        timms: torch.Tensor = net.forward_head(net.forward_features(inputs), pre_logits=True)
        return timms
    return found
