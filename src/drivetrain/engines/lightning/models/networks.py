"""Building a network of timm or torchvision, or using a given one, and finding out which images it expects."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drivetrain.engines.lightning.models.weights import fit_weights, named_tensors
from drivetrain.errors import ModelError, OptionError, near
from drivetrain.torch_training.checkpoint import read_checkpoint
from drivetrain.types import ImageSpec
from drivetrain.types.image_spec import Interpolation

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_IMAGENET_LABELS = 1000


@dataclass(slots=True)
class Network:
    """A network that maps ``(B, 3, H, W)`` normalised images to ``(B, labels)`` logits.

    Attributes:
        net: the module.
        source: ``"timm"``, ``"torchvision"`` or ``""`` for a given object.
        name: name of the architecture.
        args: plain constructor arguments, enough to build it again without its weights.
        spec: the images that the upstream's own weights expect.
        count: number of outputs.
        head: prefixes of the classifier's parameter names.
        pretrained: whether it has been trained at all.
        notes: notes for the user.
        label_names: the network's own labels; ``None`` if it has only numbers.
        knows_labels: whether it was trained for exactly these labels, on images prepared as ``spec`` says.
    """

    net: nn.Module
    source: str
    name: str
    args: dict[str, Any]
    spec: ImageSpec
    count: int
    head: tuple[str, ...]
    pretrained: bool
    notes: list[str] = field(default_factory=list)
    label_names: tuple[str, ...] | None = None
    knows_labels: bool = False

    @property
    def recorded_args(self) -> dict[str, Any]:
        """Plain arguments, enough to create the network again without its weights; for checkpoints."""
        return self.args


def build_network(
    source: str, name: str, args: Mapping[str, Any], *, count: int | None, image_size: tuple[int, int] | None
) -> Network:
    """Create a network by name.

    Args:
        source: ``"timm"`` or ``"torchvision"``.
        name: as spelled by the source.
        args: arguments of the upstream's constructor; ``pretrained`` may be the path of a weights file.
        count: number of outputs; the upstream's own if ``None``.
        image_size: (height, width) for networks whose input size is part of them.

    Raises:
        OptionError: the upstream has no such argument.
        ModelError: the upstream cannot build it, or its weights are not on this machine.
        CheckpointError: the weights file does not fit.
    """
    plain = dict(args)
    weights = plain.pop("pretrained", False)
    if plain.get("checkpoint_path"):
        weights = plain.pop("checkpoint_path")
    _check_channels(plain)
    if count is not None and plain.setdefault("num_classes", count) != count:
        raise OptionError(
            f"model_args: num_classes={plain['num_classes']}, but the data have {count} labels. Leave num_classes out."
        )
    file = Path(weights).expanduser() if isinstance(weights, str | Path) and str(weights) else None
    make = _make_timm if source == "timm" else _make_torchvision
    net = make(name, plain, download=bool(weights) and file is None, image_size=image_size)
    network = describe_network(net, source=source, name=name, args=plain)
    network.pretrained = bool(weights)
    if file is not None:
        tensors = named_tensors(read_checkpoint(file), file)
        network.notes += fit_weights(net, tensors, network.head, f"The file {file.name}")
    return network


def describe_network(
    net: nn.Module, *, source: str = "", name: str = "", args: dict[str, Any] | None = None
) -> Network:
    """The facts that a network reveals about itself.

    Raises:
        ModelError: it does not output one row of numbers per image.
    """
    spec = _image_spec(net)
    count = getattr(net, "num_classes", None)
    count = count if isinstance(count, int) and count > 0 else count_outputs(net, spec.size)
    label = name or type(net).__name__
    return Network(net, source, label, args or {}, spec, count, _find_head(net, count), pretrained=not source)


def count_outputs(net: nn.Module, size: tuple[int, int]) -> int:
    """How many numbers the network outputs for an image.

    Raises:
        ModelError: it does not output one row of numbers per image, or refuses images of this size.
    """
    training = net.training
    weight = next(net.parameters(), None)
    example = torch.zeros(1, 3, *size, device=weight.device if weight is not None else "cpu")
    try:
        with torch.no_grad():
            answer = logits_of(net.eval()(example))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise ModelError(
            f"{type(net).__name__} does not accept images of {size[0]}x{size[1]} pixels: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Give another image_size=..."
        ) from error
    finally:
        net.train(training)
    shape = getattr(answer, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 1:
        what = f"shape {tuple(shape)}" if shape is not None else f"type {type(answer).__name__}"
        raise ModelError(
            f"{type(net).__name__} outputs {what} for one image; classification needs (1, labels). "
            "Wrap it in your own LightningModule for other tasks."
        )
    return int(shape[1])


def logits_of(answer: Any) -> Any:
    """The tensor in a network's output: the output itself, or the logits of a transformers output."""
    return getattr(answer, "logits", answer)


def own_label_names(count: int) -> tuple[str, ...]:
    """The labels of the upstream's own head: ImageNet's for 1000, else the numbers as strings."""
    if count == _IMAGENET_LABELS:
        from timm.data import ImageNetInfo

        info = ImageNetInfo()
        return tuple(str(info.index_to_description(number)) for number in range(count))
    return tuple(str(number) for number in range(count))


def _check_channels(args: Mapping[str, Any]) -> None:
    if args.get("in_chans", 3) != 3:
        raise OptionError(
            f"model_args: in_chans={args['in_chans']} cannot be honoured: images are read as RGB, three channels. "
            "Leave in_chans out; grey images are read as RGB too."
        )


def _make_timm(name: str, args: dict[str, Any], *, download: bool, image_size: tuple[int, int] | None) -> nn.Module:
    import timm
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(name)
    if image_size is not None and cfg is not None and cfg.fixed_input_size:
        args.setdefault("img_size", image_size)
    try:
        net: nn.Module = timm.create_model(name, pretrained=download, **args)
    except TypeError as error:
        raise _wrong_argument(f"timm:{name}", error, lambda: timm.create_model(name), _timm_names()) from error
    except (OSError, RuntimeError, ValueError) as error:
        if not download:
            raise ModelError(f"timm:{name} could not be built with {args}: {error}") from error
        place = f"hf download {cfg.hf_hub_id}" if cfg is not None and cfg.hf_hub_id else (cfg.url if cfg else name)
        raise _not_fetched(f"timm:{name}", place, error) from error
    return net


def _make_torchvision(
    name: str, args: dict[str, Any], *, download: bool, image_size: tuple[int, int] | None
) -> nn.Module:
    from torchvision import models

    builder = models.get_model_builder(name)
    family = builder.__module__.rpartition(".")[2]
    if family in ("inception", "googlenet"):
        args.setdefault("init_weights", True)
        args.setdefault("aux_logits", False)
    if family == "vision_transformer" and image_size is not None:
        args.setdefault("image_size", image_size[0])
    weights = models.get_model_weights(name).DEFAULT if download else None
    count = args.get("num_classes")
    try:
        if weights is None:
            net: nn.Module = builder(weights=None, **args)
        else:
            net = _torchvision_pretrained(builder, weights, args, count)
    except TypeError as error:
        raise _wrong_argument(f"torchvision:{name}", error, builder, ()) from error
    except (OSError, RuntimeError, ValueError) as error:
        if not download:
            raise ModelError(f"torchvision:{name} could not be built with {args}: {error}") from error
        raise _not_fetched(f"torchvision:{name}", f"curl -O {weights.url if weights else name}", error) from error
    return net


def _torchvision_pretrained(builder: Any, weights: Any, args: dict[str, Any], count: int | None) -> nn.Module:
    """With weights, torchvision refuses a different number of labels, so the weights are loaded afterwards."""
    state = weights.get_state_dict(progress=False, check_hash=True)
    net: nn.Module = builder(weights=None, **args)
    own = count if count is not None else len(weights.meta["categories"])
    fit_weights(net, state, _find_head(net, own), f"The weights {weights}")
    return net


def _not_fetched(name: str, command: str, error: Exception) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"The weights of {name} are not on this machine and could not be downloaded ({reason}). With network access, "
        f'run: {command}; or give a local file: model_args={{"pretrained": "weights.pth"}}; or train from '
        'random weights: model_args={"pretrained": False}.'
    )


def _timm_names() -> tuple[str, ...]:
    import inspect

    import timm

    from drivetrain.engines.lightning.listing import TIMM_COMMON

    return (*inspect.signature(timm.create_model).parameters, *(item.name for item in TIMM_COMMON))


def _wrong_argument(name: str, error: TypeError, build: Any, more: Sequence[str]) -> Exception:
    import inspect

    match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if match is None:
        return ModelError(f"{name} could not be built: {error}")
    constructor = inspect.signature(type(build()).__init__).parameters
    hidden = {"self", "kwargs", "args", "model_name", "num_classes", "in_chans"}
    names = sorted({*constructor, *more} - hidden)
    given = match.group(1)
    return OptionError(
        f"model_args of {name} has no option {given!r}.{near(given, names)} Allowed: {', '.join(names)}."
    )


def _image_spec(net: nn.Module) -> ImageSpec:
    cfg: Mapping[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    _, height, width = cfg.get("input_size", (3, 224, 224))
    fixed = getattr(getattr(net, "patch_embed", None), "img_size", None) or getattr(net, "image_size", None)
    if isinstance(fixed, int):
        fixed = (fixed, fixed)
    if isinstance(fixed, tuple | list) and len(fixed) == 2:
        height, width = fixed
    interpolation: Interpolation = "bicubic" if cfg.get("interpolation") == "bicubic" else "bilinear"
    return ImageSpec(
        height=int(height),
        width=int(width),
        resize="crop",
        interpolation=interpolation,
        crop_fraction=float(cfg.get("crop_pct", 0.875)),
        mean=_three(cfg.get("mean", _IMAGENET_MEAN)),
        std=_three(cfg.get("std", _IMAGENET_STD)),
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _find_head(net: nn.Module, count: int) -> tuple[str, ...]:
    cfg: Mapping[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    named = cfg.get("classifier")
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    last = [
        name
        for name, module in net.named_modules()
        if getattr(module, "out_features", getattr(module, "out_channels", None)) == count
    ]
    return (last[-1],) if last else ()
