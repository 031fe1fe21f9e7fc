"""The image classifiers of transformers, by class name, from a folder or as objects."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from drivetrain.engines.lightning.models.lora import lora_of, put_lora
from drivetrain.engines.lightning.models.networks import Network
from drivetrain.engines.lightning.models.transformers_models import (
    CLAIMS,
    config_for,
    has_no_names,
    label_names_of,
    make_config,
    make_model,
    open_folder,
    own_processor,
    plain_config,
    set_labels,
    side_of,
    spec_of_processor,
    usual_processor,
)
from drivetrain.engines.lightning.models.weights import copy_rows
from drivetrain.models.spec import claimed_by
from drivetrain.types import ImageSpec

_HEADS = ("classifier", "head", "fc")


def is_classifier(model: Any) -> bool:
    """Whether this is an image classifier of transformers, or the class of one."""
    cls = model if isinstance(model, type) else type(model)
    return claimed_by(cls, CLAIMS) is not None and "ForImageClassification" in cls.__name__


def build_classifier(
    name: str, args: Mapping[str, Any], labels: Sequence[str] | None, size: tuple[int, int] | None
) -> Network:
    """Create a classifier by class name, with random weights or those of a folder.

    Args:
        name: such as ``"ViTForImageClassification"``.
        args: fields of its configuration, or all of them as ``config``; ``pretrained`` is a folder written by
            ``save_pretrained``; ``lora`` are fields of PEFT's ``LoraConfig``.
        labels: labels of its head; ``None`` for those of the configuration.
        size: (height, width) for models with a fixed input size.

    Raises:
        OptionError: the configuration has no such field.
        ModelError: it cannot be created.
        CheckpointError: the folder has another model.
    """
    import transformers

    cls: Any = getattr(transformers, name)
    plain = dict(args)
    folder, lora = plain.pop("pretrained", None), plain.pop("lora", None)
    if folder:
        net = open_folder(cls, folder, plain)
    else:
        whole = "config" in plain
        config = make_config(cls, plain)
        if size is not None and not whole and "image_size" in config.to_dict() and "image_size" not in args:
            config.image_size = size[0] if size[0] == size[1] else list(size)
        if labels is not None:
            set_labels(config, labels)
        net = make_model(cls, config, plain)
    return describe_classifier(net, labels, lora=lora, pretrained=bool(folder))


def describe_classifier(
    net: Any, labels: Sequence[str] | None = None, *, lora: Mapping[str, Any] | None = None, pretrained: bool = True
) -> Network:
    """Describe a classifier, and give it a head for the labels.

    Args:
        net: a transformers model; it stays the same object even if its head changes.
        labels: the labels of the data; ``None`` for those of the model.
        lora: fields of an adapter to add.
        pretrained: whether it has been trained at all.
    """
    spec, before = classifier_spec(net), label_names_of(net.config)
    notes = fit_head(net, labels, pretrained=pretrained) if labels is not None else []
    head = head_of(net)
    if lora is not None:
        notes += put_lora(net, lora, head)
    own = lora_of(net)
    args = {"config": plain_config(net.config), **({"lora": own} if own is not None else {})}
    return Network(
        net,
        "transformers",
        type(net).__name__,
        args,
        spec,
        int(net.config.num_labels),
        head,
        pretrained,
        notes,
        label_names=label_names_of(net.config),
        knows_labels=pretrained and labels is not None and before == tuple(labels),
    )


def fit_head(net: Any, labels: Sequence[str], *, pretrained: bool) -> list[str]:
    """Give a classifier a head for the labels, keeping the weights of labels it already has, by name.

    Returns:
        Notes for the user.
    """
    before = label_names_of(net.config)
    if before == tuple(labels):
        return []
    if has_no_names(net.config, len(labels)):
        set_labels(net.config, labels)
        return []
    made = type(net)(config_for(net.config, labels))
    notes = copy_rows(made, net.state_dict(), head_of(made), tuple(labels), before, "the given model")
    vars(net).update(vars(made))  # it stays the same object
    return notes if pretrained else []


def head_of(net: nn.Module) -> tuple[str, ...]:
    """The names of the modules that have a part for each label."""
    count = int(net.config.num_labels)
    sized = [
        name
        for name, module in net.named_modules()
        if count == getattr(module, "out_features", getattr(module, "out_channels", None))
    ]
    named = [name for name in sized if any(part.startswith(_HEADS) for part in name.split("."))]
    return tuple(named or sized[-1:])


def classifier_spec(net: Any) -> ImageSpec:
    """How the image processor in its folder prepares images, else the default processor for such a model."""
    config = net.config
    own = own_processor(config)
    if own is not None:
        return spec_of_processor(own)
    usual = usual_processor(config)
    fixed = getattr(config, "image_size", None) or getattr(getattr(config, "vision_config", None), "image_size", None)
    if isinstance(fixed, int):
        fixed = (fixed, fixed)
    size = (int(fixed[0]), int(fixed[1])) if fixed else side_of(usual) if usual is not None else (224, 224)
    return spec_of_processor(usual, size)
