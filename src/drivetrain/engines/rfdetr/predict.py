"""Prediction with an RF-DETR model, through the same module and decoder as its artefact."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.rfdetr.build import image_spec, names_of
from drivetrain.engines.rfdetr.quiet import contained
from drivetrain.engines.rfdetr.variants import task_of
from drivetrain.torch_training.deployed import DeployedNetwork, deployed_features, infer_deployed
from drivetrain.torch_training.look_inside import Images
from drivetrain.types import Prediction, Task

_BATCH_SIZE = 8


def deploy(detr: Any) -> DeployedNetwork:
    """A copy of the network as RF-DETR itself exports it."""
    names, task, spec = names_of(detr), task_of(detr.model_config), image_spec(detr)
    with contained(), torch.no_grad():
        module = copy.deepcopy(detr.model.model).cpu().float().eval().requires_grad_(False)
        outputs = int(module.class_embed.bias.shape[0])
        module.export()
    decoder, arguments, output_names = _decoding(detr.model_config, task, has_no_object=outputs > len(names))
    return DeployedNetwork(_ExportedOutputs(module), spec, task, names, decoder, arguments, output_names)


def _decoding(config: Any, task: Task, *, has_no_object: bool) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    arguments: dict[str, Any] = {"boxes": "boxes", "scores": "logits", "max_detections": int(config.num_select)}
    if task is Task.DETECTION:
        arguments |= {"format": "cxcywh", "normalised": True, "activation": "sigmoid", "all_classes": True}
        if has_no_object:
            arguments["no_object"] = "last"
        return "boxes", arguments, ("boxes", "logits")
    arguments["no_object"] = has_no_object
    if task is Task.INSTANCE_SEGMENTATION:
        return "queries", {**arguments, "masks": "masks"}, ("boxes", "logits", "masks")
    arguments |= {
        "keypoints": "keypoints",
        "points_per_label": [int(count) for count in config.num_keypoints_per_class],
        "trace_alpha": float(config.postprocess_trace_alpha),
    }
    return "queries", arguments, ("boxes", "logits", "keypoints")


class _ExportedOutputs(torch.nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Returns only the outputs that are decoded."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> _ExportedOutputs:
        """A copy; the exported forward is bound to the network it was taken from, so it is taken again."""
        duplicate = copy.deepcopy(self.module, memo)
        for name in ("forward", "_forward_origin"):
            duplicate.__dict__.pop(name, None)
        duplicate.forward = duplicate.forward_export
        return _ExportedOutputs(duplicate)

    def forward(self, images: torch.Tensor) -> Any:
        """A tuple of tensors: boxes ``(B, Q, 4)``, logits ``(B, Q, C)``, and any masks or keypoints."""
        return self.module.forward_export(images)


def infer(
    deployed: DeployedNetwork, images: Images, *, device: str, batch_size: int | None, confidence: float
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order."""
    return infer_deployed(
        deployed,
        images,
        device=device,
        batch_size=batch_size or _BATCH_SIZE,
        decoder_args={**deployed.decoder_args, "confidence_threshold": confidence},
        around=contained,
    )


def features(
    deployed: DeployedNetwork, images: Images, *, device: str, batch_size: int | None
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image: the mean over the places of the deepest feature map of the backbone."""
    return deployed_features(
        deployed,
        deployed.module.module.backbone[0],  # without the encoding of the places, which stands behind it
        images,
        device=device,
        batch_size=batch_size or _BATCH_SIZE,
        missing="The backbone of this RF-DETR gives no feature map.",
        around=contained,
    )
