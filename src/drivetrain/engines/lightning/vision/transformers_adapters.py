"""Detection and segmentation models of transformers: the losses, outputs and graph for each task."""

# ruff: noqa: D102, TID253  (described in VisionAdapter; loaded only when a model is built)
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from drivetrain.engines.lightning.models.lora import lora_of, merged
from drivetrain.engines.lightning.models.transformers_models import (
    label_names_of,
    own_processor,
    plain_config,
    side_of,
    spec_of_processor,
    usual_processor,
)
from drivetrain.engines.lightning.vision.adapter import NOTHING, ClassRows, Decoding, Target, VisionAdapter
from drivetrain.engines.lightning.vision.segmenters import PixelAdapter, pixel_loss
from drivetrain.errors import ModelError
from drivetrain.types import ImageSpec, Task

#: Detectors whose last class means "nothing"; the others have a sigmoid for each class.
_SOFTMAX = ("detr", "yolos", "table-transformer")
#: Families with a fixed input size.
_FIXED_INPUT = ("yolos", "eomt", "eomt_dinov3")
_MOST_ANSWERS = 300
_HEADS = re.compile(
    r"(^|\.)(class_embed|enc_score_head|class_labels_classifier|class_predictor|classifier|empty_weight)(\.|$)"
)
_FINAL_LOSS = re.compile(r"loss_[a-z_]+")
_RATES = {Task.DETECTION: 2e-4, Task.INSTANCE_SEGMENTATION: 2e-4, Task.SEMANTIC_SEGMENTATION: 5e-4}


class TransformersAdapter(VisionAdapter):
    """What transformers models have in common."""

    skips_parameters = True

    def __init__(self, net: Any, args: Mapping[str, Any], task: Task) -> None:
        super().__init__(net, source="transformers", name=type(net).__name__, args=args, task=task)
        self.label_names = label_names_of(net.config)
        self.rate = _RATES[task]
        self.pretrained = True

    @property
    def recorded_args(self) -> dict[str, Any]:
        own = lora_of(self.net)
        return {"config": plain_config(self.config), **({"lora": own} if own is not None else {})}

    @property
    def config(self) -> Any:
        """The model's transformers configuration."""
        return self.net.config

    @property
    def spec(self) -> ImageSpec:
        """How the image processor in the model's folder prepares images, else the default of its family."""
        own = own_processor(self.config)
        if own is not None:
            return replace(spec_of_processor(own, _fixed_side(self.config)), resize="stretch", crop_fraction=1.0)
        usual = usual_processor(self.config)
        return replace(
            spec_of_processor(usual, _fixed_side(self.config) or side_of(usual)), resize="stretch", crop_fraction=1.0
        )

    def check_labels(self, count: int) -> None:
        if self.config.num_labels != count:
            raise ModelError(f"{self.name} has {self.config.num_labels} labels, but there are {count}.")

    def _class_layers(self, count: int) -> dict[str, int]:
        """Name of each tensor of the head -> its number of classes."""
        found = {}
        sizes = (self.config.num_labels, self.config.num_labels + 1)
        for name, value in self.net.state_dict().items():
            of_noise = "denoising_class_embed" in name and value.ndim == 2
            if of_noise or (_HEADS.search(name) and len(value) in sizes):
                found[name] = len(value)
        return {name: count + size - self.config.num_labels for name, size in found.items()}

    def class_rows(self, labels: Sequence[str]) -> dict[str, ClassRows]:
        own = tuple(labels)
        return {
            name: ClassRows(1, own if size == len(own) else (*own, NOTHING))
            for name, size in self._class_layers(len(own)).items()
        }


class TransformersDetector(TransformersAdapter):
    """RT-DETR, D-FINE, DETR, Deformable DETR, YOLOS and related models."""

    @property
    def decoding(self) -> Decoding:
        softmax = self.config.model_type in _SOFTMAX
        arguments: dict[str, Any] = {
            "boxes": "boxes",
            "scores": "logits",
            "format": "cxcywh",
            "normalised": True,
            "activation": "softmax" if softmax else "sigmoid",
            "score_decimals": 5,
        }
        queries = int(getattr(self.config, "num_queries", None) or _MOST_ANSWERS)
        arguments |= {"no_object": "last"} if softmax else {"all_classes": True, "max_detections": queries}
        return Decoding("boxes", arguments, ("boxes", "logits"), dynamic_batch=False, traced=True)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        height, width = images.shape[-2:]
        scale = torch.tensor([width, height, width, height], device=images.device)
        labels = [{"class_labels": target["labels"], "boxes": _centred(target["boxes"]) / scale} for target in targets]
        found = self.net(pixel_values=images, labels=labels)
        parts = {name: value for name, value in (found.loss_dict or {}).items() if _FINAL_LOSS.fullmatch(name)}
        return {"total": found.loss, **{name.removeprefix("loss_"): value for name, value in parts.items()}}

    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        found = self.net(pixel_values=images)
        rows = zip(found.pred_boxes, found.logits, strict=True)
        return [{"boxes": boxes[None], "logits": logits[None]} for boxes, logits in rows]

    def graph(self) -> nn.Module:
        return OutputsGraph(merged(self.net), ("pred_boxes", "logits"))


class TransformersSegmenter(TransformersAdapter, PixelAdapter):
    """SegFormer, UperNet and other models that output a map of logits."""

    @property
    def count(self) -> int:
        return int(self.config.num_labels)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        return {"classes": pixel_loss(self.net(pixel_values=images).logits, targets)}

    def logits(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(pixel_values=images).logits
        return found

    def graph(self) -> nn.Module:
        return OutputsGraph(merged(self.net), ("logits",))


class TransformersMasks(TransformersAdapter):
    """Mask2Former, MaskFormer and EoMT: each query outputs the class logits and the pixel logits of one object."""

    @property
    def decoding(self) -> Decoding:
        arguments = {"scores": "logits", "masks": "masks", "score_decimals": 5}
        traced = not self.config.model_type.startswith("eomt")  # whose queries the trace cannot join to the patches
        return Decoding("mask_queries", arguments, ("logits", "masks"), dynamic_batch=False, traced=traced)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        masks = [target["masks"].float() for target in targets]
        found = self.net(pixel_values=images, mask_labels=masks, class_labels=[target["labels"] for target in targets])
        return {"total": found.loss.reshape(())}

    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        found = self.net(pixel_values=images)
        rows = zip(found.class_queries_logits, found.masks_queries_logits, strict=True)
        return [{"logits": logits[None], "masks": masks[None]} for logits, masks in rows]

    def graph(self) -> nn.Module:
        return OutputsGraph(merged(self.net), ("class_queries_logits", "masks_queries_logits"))


class OutputsGraph(nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Some of the outputs of a transformers model, as a tuple."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs in order."""
        found = self.net(pixel_values=images)
        return tuple(getattr(found, name) for name in self.names)


def _fixed_side(config: Any) -> tuple[int, int] | None:
    """Height and width of a network with a fixed input; ``None`` if the processor decides."""
    own = getattr(config, "image_size", None) if getattr(config, "model_type", "") in _FIXED_INPUT else None
    if isinstance(own, int):
        return own, own
    return (int(own[0]), int(own[1])) if own is not None else None


def _centred(boxes: Tensor) -> Tensor:
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1)
