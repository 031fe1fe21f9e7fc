"""Prediction and export of Ultralytics models, both with the same module and decoder."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.ultralytics.build import TASKS, image_size_of, names_of
from drivetrain.engines.ultralytics.containment import contained
from drivetrain.machine.device import choose_device
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.torch_training.cell_network import CellNetwork
from drivetrain.torch_training.deployed import DeployedNetwork, deployed_features, infer_deployed
from drivetrain.torch_training.look_inside import Images, read_cells
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


def deploy(yolo: Any) -> DeployedNetwork:
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
    return DeployedNetwork(_Outputs(module), spec, task, names, decoder, arguments, outputs)


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
    deployed: DeployedNetwork, images: Images, *, device: str, batch_size: int | None, confidence: float
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order."""
    more = {"confidence_threshold": confidence} if deployed.decoder == "yolo" else {}
    return infer_deployed(
        deployed,
        images,
        device=device,
        batch_size=batch_size or _BATCH_SIZE,
        decoder_args={**deployed.decoder_args, **more},
    )


def features(
    deployed: DeployedNetwork, images: Images, *, device: str, batch_size: int | None
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image: the mean over the places of what the head is given, as of ``YOLO.embed``."""
    return deployed_features(
        deployed,
        deployed.module.module.model[-2],
        images,
        device=device,
        batch_size=batch_size or _BATCH_SIZE,
        missing="What stands before the head of this model of Ultralytics gives no feature map.",
    )


def cells(deployed: DeployedNetwork, *, device: str, name: str) -> Callable[[Images], Iterator[CellScores]]:
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
