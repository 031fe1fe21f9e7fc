"""torchvision's detectors: boxes, optionally with masks or keypoints."""

# ruff: noqa: D102, TID253  (described in VisionAdapter; loaded only when a model is built)
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from drivetrain.engines.lightning.vision.adapter import NOTHING, ClassRows, Decoding, Target, VisionAdapter
from drivetrain.errors import ModelError
from drivetrain.types import ImageSpec, Task

_DECIMALS = 5
_BACKGROUND_FIRST = ("GeneralizedRCNN", "SSD")


class ReadyImages(nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Replaces torchvision's transform for images that are already resized and normalised."""

    def forward(self, images: Tensor, targets: Any = None) -> tuple[ImageList, Any]:
        """The images as torchvision's image list, all of one size."""
        height, width = images.shape[-2:]
        return ImageList(images, [(int(height), int(width))] * images.shape[0]), targets

    def postprocess(self, result: Any, shapes: Any, originals: Any) -> Any:  # noqa: ARG002  (the upstream's signature)
        """The detections unchanged: in pixels of the input, with masks per box."""
        return result


class TorchvisionDetector(VisionAdapter):
    """Faster R-CNN, Mask R-CNN, Keypoint R-CNN, RetinaNet, FCOS, SSD or SSDlite."""

    def __init__(self, net: nn.Module, *, source: str, name: str, args: Mapping[str, Any]) -> None:
        super().__init__(net, source=source, name=name, args=args, task=task_of_detector(net))
        self.kind = next(base.__name__ for base in type(net).__mro__ if base.__name__ in KINDS)
        if self.task is Task.KEYPOINT_DETECTION:
            self.keypoints = int(self._heads.keypoint_predictor.kps_score_lowres.out_channels)
        self.rate = 1e-3 if self.kind == "SSD" else 3e-4

    @property
    def spec(self) -> ImageSpec:
        transform: Any = self.net.transform
        mean, std = _three(transform.image_mean), _three(transform.image_std)
        if transform.fixed_size is not None:
            width, height = transform.fixed_size
            return ImageSpec(height=int(height), width=int(width), mean=mean, std=std)
        side = int(transform.min_size[-1])
        return ImageSpec(height=side, width=side, resize="letterbox", mean=mean, std=std)

    @property
    def decoding(self) -> Decoding:
        arguments: dict[str, Any] = {"boxes": "boxes", "scores": "scores", "labels": "labels"}
        arguments["score_decimals"] = _DECIMALS
        outputs: tuple[str, ...] = ("boxes", "scores", "labels")
        if self._has_background:
            arguments["label_offset"] = 1
        if self.task is Task.INSTANCE_SEGMENTATION:
            arguments["masks"] = "masks"
            outputs = (*outputs, "masks")
        if self.task is Task.KEYPOINT_DETECTION:
            arguments["heatmaps"] = "heatmaps"
            outputs = (*outputs, "heatmaps")
        return Decoding("boxes", arguments, outputs, dynamic_batch=False, traced=True)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        prepared = [self._prepared(target) for target in targets]
        with _ready(self.net):
            found: dict[str, Tensor] = self.net(images, prepared)
        return {name.removeprefix("loss_"): value for name, value in found.items()}

    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        with _ready(self.net):
            found = _detections(self.net, images)
        names = self.decoding.outputs
        return [{name: item[name] for name in names} for item in found]

    def graph(self) -> nn.Module:
        return DetectorGraph(self.net, self.decoding.outputs)

    def check_labels(self, count: int) -> None:
        outputs = self._outputs
        allowed = (count + 1,) if self.kind in _BACKGROUND_FIRST else (count, count + 1)
        if outputs not in allowed:
            how = "one for each label and one for the background" if self.kind in _BACKGROUND_FIRST else "one each"
            raise ModelError(
                f"{type(self.net).__name__} has {outputs} classes, but there are {count} labels, which need "
                f"{allowed[0]} ({how}). Create it with num_classes={allowed[0]}, or give it by name, to get a "
                "matching head."
            )
        self._labels = count

    def class_rows(self, labels: Sequence[str]) -> dict[str, ClassRows]:
        names = (NOTHING, *labels) if self.kind in _BACKGROUND_FIRST or self._outputs > len(labels) else tuple(labels)
        if self.kind == "GeneralizedRCNN":
            heads = ["box_predictor.cls_score", "box_predictor.bbox_pred"]
            if self.task is Task.INSTANCE_SEGMENTATION:
                heads.append("mask_predictor.mask_fcn_logits")
            return _of_layers({f"roi_heads.{name}": ClassRows(1, names) for name in heads})
        anchors = self.net.anchor_generator.num_anchors_per_location()
        if self.kind == "SSD":
            inner = self.net.head.classification_head.module_list
            last = [".1" if isinstance(part, nn.Sequential) else "" for part in inner]
            prefix = "head.classification_head.module_list"
            return _of_layers({f"{prefix}.{n}{last[n]}": ClassRows(count, names) for n, count in enumerate(anchors)})
        return _of_layers({"head.classification_head.cls_logits": ClassRows(anchors[0], names)})

    @property
    def _heads(self) -> Any:
        return self.net.roi_heads

    @property
    def _outputs(self) -> int:
        """The number of classes of the network, including the background if it has one."""
        if self.kind == "GeneralizedRCNN":
            return int(self._heads.box_predictor.cls_score.out_features)
        if self.kind == "SSD":
            return int(self.net.head.classification_head.num_columns)
        return int(self.net.head.classification_head.num_classes)

    @property
    def _has_background(self) -> bool:
        return self.kind in _BACKGROUND_FIRST or self._outputs > getattr(self, "_labels", self._outputs)

    def _prepared(self, target: Target) -> dict[str, Tensor]:
        """A target in torchvision's form: labels from 1 if 0 is the background."""
        prepared = {name: value for name, value in target.items() if name != "number"}
        prepared["labels"] = target["labels"] + int(self._has_background)
        return prepared


class DetectorGraph(nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """A detector for one image whose outputs are a tuple.

    Args:
        net: torchvision's model; its transform is dropped in the exporter's copy.
        outputs: their names, in order.
    """

    def __init__(self, net: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.net, self.outputs = net, tuple(outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The detections of the first image."""
        with _ready(self.net):
            found = _detections(self.net, images)[0]
        return tuple(found[name] for name in self.outputs)


#: torchvision's detector classes.
KINDS = ("GeneralizedRCNN", "RetinaNet", "FCOS", "SSD")


def task_of_detector(net: nn.Module) -> Task:
    """The task of a torchvision detector."""
    heads: Any = getattr(net, "roi_heads", None)
    if heads is not None and heads.has_mask():
        return Task.INSTANCE_SEGMENTATION
    if heads is not None and heads.has_keypoint():
        return Task.KEYPOINT_DETECTION
    return Task.DETECTION


def _detections(net: Any, images: Tensor) -> list[dict[str, Tensor]]:
    """The detections of each image; for keypoints the heat maps, which the decoder reads."""
    heads = getattr(net, "roi_heads", None)
    if heads is None or not heads.has_keypoint():
        found: list[dict[str, Tensor]] = net(images)
        return found
    features = net.backbone(images)
    if isinstance(features, Tensor):  # a backbone of one level
        features = {"0": features}
    ready, _ = net.transform(images)
    proposals, _ = net.rpn(ready, features)
    pooled = heads.box_head(heads.box_roi_pool(features, proposals, ready.image_sizes))
    logits, deltas = heads.box_predictor(pooled)
    boxes, scores, labels = heads.postprocess_detections(logits, deltas, proposals, ready.image_sizes)
    maps = heads.keypoint_predictor(heads.keypoint_head(heads.keypoint_roi_pool(features, boxes, ready.image_sizes)))
    parts = torch.split(maps, [len(part) for part in boxes]) if len(boxes) > 1 else (maps,)
    return [
        {"boxes": box, "scores": score, "labels": label, "heatmaps": part}
        for box, score, label, part in zip(boxes, scores, labels, parts, strict=True)
    ]


@contextmanager
def _ready(net: Any) -> Iterator[None]:
    """Within the block, accept images unchanged; torchvision's transform is restored afterwards."""
    own = net.transform
    net.transform = ReadyImages()
    try:
        yield
    finally:
        net.transform = own


def _of_layers(layers: Mapping[str, ClassRows]) -> dict[str, ClassRows]:
    return {f"{name}.{part}": rows for name, rows in layers.items() for part in ("weight", "bias")}


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
