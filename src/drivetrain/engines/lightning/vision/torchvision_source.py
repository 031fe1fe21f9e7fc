"""torchvision's detection and segmentation models, by name or as objects."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from drivetrain.engines.lightning.models.weights import named_tensors
from drivetrain.engines.lightning.vision.adapter import VisionAdapter
from drivetrain.engines.lightning.vision.detectors import KINDS, TorchvisionDetector
from drivetrain.engines.lightning.vision.fitted_heads import give_weights
from drivetrain.engines.lightning.vision.segmenters import PIXEL_CLASSES, TorchvisionSegmenter
from drivetrain.errors import ModelError, OptionError, near
from drivetrain.torch_training.checkpoint import read_checkpoint

CLAIMS = tuple(f"torchvision:{kind}" for kind in (*KINDS, *PIXEL_CLASSES))
_SET_HERE = ("self", "args", "weights", "weights_backbone", "progress", "kwargs", "backbone", "classifier", "head")


def wrap(net: nn.Module, *, source: str = "", name: str = "", args: Mapping[str, Any] | None = None) -> VisionAdapter:
    """The adapter for a torchvision object."""
    pixels = any(base.__name__ in PIXEL_CLASSES for base in type(net).__mro__)
    kind = TorchvisionSegmenter if pixels else TorchvisionDetector
    return kind(net, source=source, name=name or type(net).__name__, args=args or {})


def build(name: str, args: Mapping[str, Any], labels: Sequence[str] | None, keypoints: int) -> VisionAdapter:
    """Create a model by name, with random weights or those of ``pretrained``.

    Args:
        name: as spelled by torchvision.
        args: arguments of torchvision's builder and of the class it creates; ``pretrained`` is ``True`` or a file.
        labels: labels of its head; ``None`` for torchvision's own number of classes.
        keypoints: keypoints per object; 0 for torchvision's own number.

    Raises:
        OptionError: torchvision has no such argument.
        ModelError: it cannot be created, or its weights are not on this machine.
        CheckpointError: the weights file does not fit.
    """
    from torchvision import models

    builder = models.get_model_builder(name)
    plain = dict(args)
    weights = plain.pop("pretrained", False)
    if labels is not None:
        count = len(labels) + int(_adds_background(builder))
        if plain.setdefault("num_classes", count) != count:
            raise OptionError(
                f"model_args: num_classes={plain['num_classes']}, but the data have {len(labels)} labels, which need "
                f"{count}. Leave num_classes out."
            )
    if keypoints and "keypoint" in name:
        plain["num_keypoints"] = keypoints
    adapter = wrap(_make(builder, name, plain), source="torchvision", name=name, args=plain)
    if labels is not None:
        adapter.check_labels(len(labels))
    if weights:
        adapter.notes += _load(adapter, weights, labels or ())
    return adapter


def _adds_background(builder: Any) -> bool:
    """Whether the model has a background class in addition to the labels."""
    _, kind, module = builder.__module__.rsplit(".", 2)
    return kind == "detection" and module not in ("retinanet", "fcos")


def _make(builder: Any, name: str, args: Mapping[str, Any]) -> nn.Module:
    own = inspect.signature(builder).parameters
    more = {"weights_backbone": None} if "weights_backbone" in own else {}
    known = _known_arguments(builder)
    wrong = next((key for key in args if key not in known), None)
    if wrong is not None:  # torchvision itself accepts some of them and ignores them
        raise OptionError(
            f"model_args of torchvision:{name} has no option {wrong!r}.{near(wrong, known)} "
            f"Allowed: {', '.join([*known, 'pretrained'])}."
        )
    try:
        net: nn.Module = builder(weights=None, **more, **args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"torchvision:{name} could not be built with {dict(args)}: {error}") from error
    return net


def _known_arguments(builder: Any) -> list[str]:
    """The arguments of the builder, and of the classes it passes the rest to."""
    made = typing.get_type_hints(builder, vars(sys.modules[builder.__module__])).get("return")
    classes = made.__mro__ if isinstance(made, type) else ()
    own = [cls for cls in classes if cls.__module__.startswith("torchvision.")]
    names = [name for item in (builder, *own) for name in inspect.signature(item).parameters]
    return [name for name in dict.fromkeys(names) if name not in _SET_HERE]


def _load(adapter: VisionAdapter, weights: Any, labels: Sequence[str]) -> list[str]:
    if isinstance(weights, str | Path):
        file = Path(weights).expanduser()
        tensors = named_tensors(read_checkpoint(file), file)
        return give_weights(adapter, tensors, ours=labels, theirs=None, origin=f"the file {file.name}")
    from torchvision import models

    chosen: Any = models.get_model_weights(adapter.name).DEFAULT
    try:
        tensors = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The weights of torchvision:{adapter.name} are not on this machine and could not be downloaded "
            f"({reason}). With network access, run: curl -O {chosen.url}; or give a local file: "
            'model_args={"pretrained": "weights.pth"}; or train from random weights: model_args={"pretrained": False}.'
        ) from error
    names = tuple(name for name in chosen.meta["categories"] if name != "__background__")
    return give_weights(adapter, tensors, ours=labels, theirs=names, origin=f"the weights {chosen}")
