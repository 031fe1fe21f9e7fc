"""Detection and semantic segmentation models of transformers, by the name of their class or as objects."""

# ruff: noqa: D102, TID253  (described in VisionAdapter; loaded only when a model is built)
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from drivetrain.engines.lightning.vision.adapter import NOTHING, ClassRows, Decoding, Target, VisionAdapter
from drivetrain.engines.lightning.vision.class_weights import give_weights
from drivetrain.engines.lightning.vision.segmenters import PixelAdapter, pixel_loss
from drivetrain.errors import CheckpointError, ModelError, OptionError, UnsupportedError, near
from drivetrain.types import ImageSpec, Task

CLAIMS = ("transformers:PreTrainedModel",)
#: End of the name of a class -> what it is for.
TASKS = {"ForObjectDetection": Task.DETECTION, "ForSemanticSegmentation": Task.SEMANTIC_SEGMENTATION}
#: Detectors whose last class means "nothing"; the others have a sigmoid for each class.
_SOFTMAX = ("detr", "yolos", "table-transformer")
_MOST_ANSWERS = 300
_HEADS = re.compile(r"(^|\.)(class_embed|enc_score_head|class_labels_classifier|classifier)(\.|$)")
_FINAL_LOSS = re.compile(r"loss_[a-z]+")


def wrap(net: Any, *, args: Mapping[str, Any] | None = None) -> VisionAdapter:
    """The adapter of an object of transformers.

    Raises:
        UnsupportedError: it is for another task.
    """
    task = next((task for end, task in TASKS.items() if type(net).__name__.endswith(end)), None)
    if task is None:
        raise UnsupportedError(
            f"{type(net).__name__} is not trained here; of transformers those are whose names end in "
            f"{', '.join(TASKS)}. List them with: drivetrain find transformers"
        )
    kind = TransformersDetector if task is Task.DETECTION else TransformersSegmenter
    return kind(net, args or {})


def build(name: str, args: Mapping[str, Any], labels: Sequence[str] | None, keypoints: int) -> VisionAdapter:
    """Make a model by the name of its class, with random weights or those of a folder.

    Args:
        name: such as ``"RTDetrV2ForObjectDetection"``.
        args: fields of its configuration, or all of them as ``config``; ``pretrained`` is a folder that
            ``save_pretrained`` wrote.
        labels: of its head; those of the configuration if ``None``.
        keypoints: none of these models has any.

    Raises:
        OptionError: the configuration has no such field.
        ModelError: it cannot be made.
        CheckpointError: the folder has another model.
    """
    del keypoints
    import transformers

    cls: Any = getattr(transformers, name)
    plain = dict(args)
    folder = plain.pop("pretrained", None)
    if folder:
        adapter = wrap(_opened(cls, Path(folder).expanduser(), plain))
        adapter.pretrained = True
    else:
        config = _configuration(cls, plain)
        if labels is not None:
            _set_labels(config, labels)
        try:
            adapter = wrap(cls(config))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"transformers:{name} could not be built with {plain}: {error}") from error
        adapter.pretrained = False
    if labels is not None:
        fit_labels(adapter, labels)
    return adapter


def fit_labels(adapter: VisionAdapter, labels: Sequence[str]) -> None:
    """Give a model a head for the labels; what it knows of those that it has already is kept, by name."""
    net: Any = adapter.net
    before = _names(net.config)
    if before == tuple(labels):
        return
    if before == tuple(f"LABEL_{number}" for number in range(len(labels))):  # transformers' own names for numbers
        _set_labels(net.config, labels)
        adapter.label_names = tuple(labels)
        return
    config = type(net.config).from_dict(json.loads(net.config.to_json_string(use_diff=False)))
    _set_labels(config, labels)
    pretrained = adapter.pretrained
    made = wrap(type(net)(config))
    notes = give_weights(made, net.state_dict(), ours=tuple(labels), theirs=before, origin="the given model")
    vars(net).update(vars(made.net))  # it stays the same object
    adapter.pretrained = pretrained
    if pretrained:
        adapter.notes += notes


class _Transformers(VisionAdapter):
    """What models of transformers have in common."""

    def __init__(self, net: Any, args: Mapping[str, Any]) -> None:
        name = type(net).__name__
        task = next(task for end, task in TASKS.items() if name.endswith(end))
        super().__init__(net, source="transformers", name=name, args=args, task=task)
        self.label_names = _names(net.config)
        self.rate = 2e-4 if task is Task.DETECTION else 5e-4
        self.pretrained = True

    @property
    def recorded_args(self) -> dict[str, Any]:
        return {"config": json.loads(self.config.to_json_string(use_diff=False))}

    @property
    def config(self) -> Any:
        """Of the model, as transformers has it."""
        return self.net.config

    @property
    def spec(self) -> ImageSpec:
        """What the image processor of the model does by itself."""
        from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

        known: Any = IMAGE_PROCESSOR_MAPPING.get(type(self.config), None)  # RT-DETRv2 and D-FINE have none of their own
        found = known if isinstance(known, Sequence) else list(dict(known).values()) if known else ()
        cls = next((item for item in found if item is not None), None)
        processor: Any = cls() if cls is not None else None
        height, width = _side(self.config, processor)
        if processor is not None and processor.do_normalize:
            mean, std = _three(processor.image_mean), _three(processor.image_std)
            return ImageSpec(height=height, width=width, mean=mean, std=std)
        return ImageSpec(height=height, width=width)

    def check_labels(self, count: int) -> None:
        if self.config.num_labels != count:
            raise ModelError(f"{self.name} has {self.config.num_labels} labels, but there are {count}.")

    def _class_layers(self, count: int) -> dict[str, int]:
        """Name of each tensor of the head -> how many classes it has."""
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


class TransformersDetector(_Transformers):
    """RT-DETR, D-FINE, DETR, Deformable DETR, YOLOS and their relatives."""

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
        return OutputsGraph(self.net, ("pred_boxes", "logits"))


class TransformersSegmenter(_Transformers, PixelAdapter):
    """SegFormer, UperNet and others that give a map of logits."""

    @property
    def count(self) -> int:
        return int(self.config.num_labels)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        return {"classes": pixel_loss(self.net(pixel_values=images).logits, targets)}

    def logits(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(pixel_values=images).logits
        return found

    def graph(self) -> nn.Module:
        return OutputsGraph(self.net, ("logits",))


class OutputsGraph(nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """Some of the outputs of a model of transformers as a tuple."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs in their order."""
        found = self.net(pixel_values=images)
        return tuple(getattr(found, name) for name in self.names)


def _configuration(cls: Any, args: dict[str, Any]) -> Any:
    whole = args.pop("config", None)
    if whole is not None:
        return cls.config_class.from_dict(dict(whole))
    known = cls.config_class().to_dict()
    wrong = next((name for name in args if name not in known), None)
    if wrong is not None:
        raise OptionError(
            f"model_args of transformers:{cls.__name__} has no option {wrong!r}.{near(wrong, known)} "
            f"Allowed: {', '.join(sorted(known))}, pretrained."
        )
    if "use_pretrained_backbone" in known:
        args.setdefault("use_pretrained_backbone", False)
    return cls.config_class(**args)


def _opened(cls: Any, folder: Path, args: Mapping[str, Any]) -> Any:
    if args:
        raise OptionError(f"model_args: {next(iter(args))} is part of what {str(folder)!r} says; leave it out.")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"model_args: pretrained={str(folder)!r} is not a folder of save_pretrained: it has no config.json. "
            "Nothing was downloaded."
        )
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or [cls.__name__]
    if cls.__name__ not in found:
        raise CheckpointError(f"model_args: pretrained={str(folder)!r} is a {found[0]}, and not a {cls.__name__}.")
    try:
        return cls.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"model_args: pretrained={str(folder)!r} cannot be opened: {error}") from error


def _set_labels(config: Any, labels: Sequence[str]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}


def _names(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[number]) for number in range(config.num_labels))


def _side(config: Any, processor: Any) -> tuple[int, int]:
    """Height and width: of a network whose input is fixed, else what the processor makes of a square image."""
    own = getattr(config, "image_size", None) if getattr(config, "model_type", "") == "yolos" else None
    if isinstance(own, Sequence):
        return int(own[0]), int(own[1])
    size: Any = getattr(processor, "size", None) or {}
    size = size if isinstance(size, Mapping) else dict(size)
    if size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    side = int(size.get("shortest_edge") or 640)
    return side, side


def _centred(boxes: Tensor) -> Tensor:
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
