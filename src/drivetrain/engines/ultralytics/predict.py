"""Prediction and export of Ultralytics models, both with the same module and decoder."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.ultralytics.build import TASKS, image_size_of, names_of
from drivetrain.engines.ultralytics.containment import contained
from drivetrain.errors import UnsupportedError
from drivetrain.machine.device import choose_device
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.torch_training.batches import decoded_batches, image_batches
from drivetrain.torch_training.cell_network import CellNetwork
from drivetrain.torch_training.look_inside import Images, pooled_output, read_cells, read_features
from drivetrain.types import ImageSpec, Prediction, Task
from drivetrain.types.explanation import CellScores

_BATCH_SIZE = 16
#: Side of the input if the model does not state it, by Ultralytics' name for the task.
DEFAULT_SIZE = {"classify": 224}
_KINDS = {
    Task.DETECTION: "boxes",
    Task.INSTANCE_SEGMENTATION: "masks",
    Task.KEYPOINT_DETECTION: "keypoints",
    Task.ORIENTED_DETECTION: "corners",
}


@dataclass(frozen=True, slots=True)
class DeployedYolo:
    """A model in the form in which it is deployed.

    Attributes:
        module: takes ``(B, 3, height, width) float32`` in 0..1 and returns a tensor or a tuple of tensors.
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


def deploy(yolo: Any) -> DeployedYolo:
    """A copy of the model with its normalisations folded in and its head in export mode."""
    task, names = TASKS[yolo.task], names_of(yolo.model)
    with contained():
        module = copy.deepcopy(yolo.model).cpu().float().eval()
        if hasattr(module, "criterion"):
            module.criterion = None
        module = module.fuse(verbose=False).requires_grad_(False)
        head = module.model[-1]
        head.export, head.dynamic, head.format = True, False, None
    decoder, arguments, outputs = _decoding(head, task)
    spec = image_spec(task, image_size_of(yolo, DEFAULT_SIZE.get(yolo.task, 640)), stretched=_is_detr(head))
    return DeployedYolo(_Outputs(module), spec, task, names, decoder, arguments, outputs)


def image_spec(task: Task, side: int, *, stretched: bool) -> ImageSpec:
    """How Ultralytics fits an image into a square input of ``side`` pixels."""
    if task is Task.CLASSIFICATION:
        return ImageSpec(side, side, resize="crop", antialias=True)
    if stretched or task is Task.DEPTH:
        return ImageSpec(side, side, resize="stretch", antialias=False)
    return ImageSpec(side, side, resize="letterbox", antialias=False, pad_value=114)


def _is_detr(head: Any) -> bool:
    return type(head).__name__ == "RTDETRDecoder"


def _decoding(head: Any, task: Task) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    if task is Task.CLASSIFICATION:
        return "classification", {"activation": "none"}, ("probabilities",)
    if task is Task.SEMANTIC_SEGMENTATION:
        return "class_map", {}, ("logits",)
    if task is Task.DEPTH:
        return "depth", {}, ("depth",)
    layout = "queries" if _is_detr(head) else "objects" if getattr(head, "end2end", False) else "anchors"
    arguments: dict[str, Any] = {"layout": layout, "kind": _KINDS[task]}
    if task is Task.KEYPOINT_DETECTION:
        arguments["keypoints"] = [int(number) for number in head.kpt_shape]
    outputs = ("objects", "prototypes") if task is Task.INSTANCE_SEGMENTATION else ("objects",)
    return "yolo", arguments, outputs


class _Outputs(torch.nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Returns only the outputs that are decoded."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> Any:
        """A tensor, or a tuple of them."""
        found = self.module(images)
        return tuple(found) if isinstance(found, list | tuple) else found


def infer(
    deployed: DeployedYolo,
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    *,
    device: str,
    batch_size: int | None,
    confidence: float,
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order.

    While the model works on a batch, threads prepare the next one.
    """
    place = choose_device(device)
    module = deployed.module.to(place)
    arguments = dict(deployed.decoder_args)
    if deployed.decoder == "yolo":
        arguments["confidence_threshold"] = confidence
    decoder = make_decoder(deployed.decoder, arguments, deployed.label_names, deployed.spec)
    batches = image_batches(images, deployed.spec, batch_size or _BATCH_SIZE)
    yield from decoded_batches(batches, lambda inputs: _ask(module, inputs.to(place), deployed.output_names), decoder)


def features(
    deployed: DeployedYolo, images: Images, *, device: str, batch_size: int | None
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image: the mean over the places of what the head is given, as ``YOLO.embed`` gives it.

    Args:
        deployed: the model.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        device: where to compute.
        batch_size: images in a step.
    """
    place = choose_device(device)
    module = deployed.module.to(place)
    part = module.module.model[-2]

    def ask(inputs: torch.Tensor) -> torch.Tensor:
        found = pooled_output(module, part, inputs)
        if found is None:
            raise UnsupportedError("What stands before the head of this model of Ultralytics gives no feature map.")
        return found

    yield from read_features(ask, images, spec=deployed.spec, place=place, batch_size=batch_size or _BATCH_SIZE)


def cells(deployed: DeployedYolo, *, device: str, name: str) -> Callable[[Images], Iterator[CellScores]]:
    """What asks a classifier about images and the cells of its last feature map.

    Args:
        deployed: the model.
        device: where to compute.
        name: of the model, for messages.

    Raises:
        UnsupportedOptionError: it has no layer for it.
    """
    place = choose_device(device)
    network = CellNetwork(deployed.module.to(place), torch.zeros(1, 3, *deployed.spec.size, device=place), name)
    decoder = make_decoder(deployed.decoder, deployed.decoder_args, deployed.label_names, deployed.spec)
    output = deployed.output_names[0]
    return partial(
        read_cells,
        network,
        spec=deployed.spec,
        place=place,
        decode=lambda row, size, path: decoder.decode({output: row[None]}, size, path),
        is_probability=True,
    )


def _ask(module: torch.nn.Module, inputs: torch.Tensor, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    with torch.inference_mode():
        found = module(inputs)
    values = found if isinstance(found, tuple) else (found,)
    return {name: value.float().cpu().numpy() for name, value in zip(names, values, strict=True)}
