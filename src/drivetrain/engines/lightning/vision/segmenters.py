"""Models that classify pixels: torchvision's, and what they share with other sources."""

# ruff: noqa: D102, TID253  (described in VisionAdapter; loaded only when a model is built)
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from drivetrain.engines.lightning.vision.adapter import ClassRows, Decoding, Target, VisionAdapter
from drivetrain.errors import ModelError
from drivetrain.images.masks import IGNORED
from drivetrain.types import ImageSpec, Task

_SIDE = 520
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUXILIARY = 0.5

#: torchvision's classes that classify pixels.
PIXEL_CLASSES = ("_SimpleSegmentationModel", "LRASPP")


class PixelAdapter(VisionAdapter):
    """A network that outputs ``(B, C, h, w)`` logits of pixel classes."""

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """``(B, C, h, w)`` for normalised images, in evaluation mode."""

    @property
    def decoding(self) -> Decoding:
        return Decoding("class_map", {}, ("logits",), dynamic_batch=True, traced=False)

    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        return [{"logits": row[None]} for row in self.logits(images)]

    def graph(self) -> nn.Module:
        return PixelGraph(self.net)

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of classes."""

    def check_labels(self, count: int) -> None:
        if count != self.count:
            raise ModelError(
                f"{type(self.net).__name__} has {self.count} classes, but there are {count} labels. Create it with "
                f"num_classes={count}, or give it by name, to get a matching head."
            )


def pixel_loss(logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """The mean cross entropy over pixels that are not ignored; logits are resized to the class maps."""
    classes = torch.stack([target["class_map"] for target in targets])
    if logits.shape[-2:] != classes.shape[-2:]:
        logits = nn.functional.interpolate(logits, classes.shape[-2:], mode="bilinear", align_corners=False)
    total = nn.functional.cross_entropy(logits.float(), classes, ignore_index=IGNORED, reduction="sum")
    return total / (classes != IGNORED).sum().clamp(min=1)


class TorchvisionSegmenter(PixelAdapter):
    """FCN, DeepLabV3 or LR-ASPP."""

    def __init__(self, net: nn.Module, *, source: str, name: str, args: Mapping[str, Any]) -> None:
        super().__init__(net, source=source, name=name, args=args, task=Task.SEMANTIC_SEGMENTATION)

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(height=_SIDE, width=_SIDE, mean=_MEAN, std=_STD)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        found = self.net(images)
        losses = {"classes": pixel_loss(found["out"], targets)}
        if "aux" in found:
            losses["auxiliary"] = _AUXILIARY * pixel_loss(found["aux"], targets)
        return losses

    def logits(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(images)["out"]
        return found

    @property
    def count(self) -> int:
        return int(self.net.get_submodule(self._last_layers[0]).out_channels)

    def class_rows(self, labels: Sequence[str]) -> dict[str, ClassRows]:
        rows = ClassRows(1, tuple(labels))
        return {f"{name}.{part}": rows for name in self._last_layers for part in ("weight", "bias")}

    @property
    def _last_layers(self) -> tuple[str, ...]:
        if hasattr(self.net.classifier, "low_classifier"):
            return "classifier.low_classifier", "classifier.high_classifier"
        return ("classifier.4", "aux_classifier.4") if self.net.aux_classifier is not None else ("classifier.4",)


class PixelGraph(nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Only the logits of a torchvision segmentation model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """``(B, C, H, W)``."""
        logits: Tensor = self.net(images)["out"]
        return logits
