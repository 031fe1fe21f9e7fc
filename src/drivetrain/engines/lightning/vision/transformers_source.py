"""The detection and segmentation models of transformers, by class name or as objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivetrain.engines.lightning.models.lora import put_lora
from drivetrain.engines.lightning.models.transformers_models import (
    config_for,
    has_no_names,
    label_names_of,
    make_config,
    make_model,
    open_folder,
    set_labels,
)
from drivetrain.engines.lightning.vision.adapter import VisionAdapter
from drivetrain.engines.lightning.vision.fitted_heads import give_weights
from drivetrain.engines.lightning.vision.transformers_adapters import (
    TransformersAdapter,
    TransformersDetector,
    TransformersMasks,
    TransformersSegmenter,
)
from drivetrain.errors import UnsupportedError
from drivetrain.types import Task

#: End of the name of a class -> its task and its adapter.
_KINDS: dict[str, tuple[Task, type[TransformersAdapter]]] = {
    "ForObjectDetection": (Task.DETECTION, TransformersDetector),
    "ForSemanticSegmentation": (Task.SEMANTIC_SEGMENTATION, TransformersSegmenter),
    "EomtForUniversalSegmentation": (Task.INSTANCE_SEGMENTATION, TransformersMasks),
    "EomtDinov3ForUniversalSegmentation": (Task.INSTANCE_SEGMENTATION, TransformersMasks),
    "Mask2FormerForUniversalSegmentation": (Task.INSTANCE_SEGMENTATION, TransformersMasks),
    "MaskFormerForInstanceSegmentation": (Task.INSTANCE_SEGMENTATION, TransformersMasks),
}
_WHY_NOT = {
    "ForPoseEstimation": "It looks for keypoints in boxes that a detector must provide, and has no loss.",
    "ForKeypointDetection": "It finds points shared by images, not keypoints of objects.",
    "OneFormerForUniversalSegmentation": "It needs a text in addition to the image.",
    "VideomtForUniversalSegmentation": "It needs videos.",
}


def wrap(net: Any, *, args: Mapping[str, Any] | None = None) -> VisionAdapter:
    """The adapter for a transformers object.

    Raises:
        UnsupportedError: it is for another task.
    """
    name = type(net).__name__
    found = next((kind for end, kind in _KINDS.items() if name.endswith(end)), None)
    if found is None:
        why = next((f" {text}" for end, text in _WHY_NOT.items() if name.endswith(end)), "")
        raise UnsupportedError(
            f"{name} cannot be trained here.{why} Supported transformers classes end in ForImageClassification, "
            f"{', '.join(_KINDS)}. List them with: drivetrain find transformers"
        )
    task, cls = found
    return cls(net, args or {}, task)


def build(name: str, args: Mapping[str, Any], labels: Sequence[str] | None, keypoints: int) -> VisionAdapter:
    """Create a model by class name, with random weights or those of a folder.

    Args:
        name: such as ``"RTDetrV2ForObjectDetection"``.
        args: fields of its configuration, or all of them as ``config``; ``pretrained`` is a folder
            written by ``save_pretrained``; ``lora`` are fields of PEFT's ``LoraConfig``.
        labels: labels of its head; ``None`` for those of the configuration.
        keypoints: unused; none of these models has any.

    Raises:
        OptionError: the configuration has no such field.
        ModelError: it cannot be created.
        CheckpointError: the folder has another model.
    """
    del keypoints
    import transformers

    cls: Any = getattr(transformers, name)
    plain = dict(args)
    folder, lora = plain.pop("pretrained", None), plain.pop("lora", None)
    if folder:
        adapter = wrap(open_folder(cls, folder, plain))
    else:
        config = make_config(cls, plain)
        if labels is not None:
            set_labels(config, labels)
        adapter = wrap(make_model(cls, config, plain))
        adapter.pretrained = False
    if labels is not None:
        fit_labels(adapter, labels)
    if lora is not None:
        adapter.notes += put_lora(adapter.net, lora, _modules(adapter.class_rows(adapter.label_names or ())))
    return adapter


def _modules(tensors: Iterable[str]) -> list[str]:
    """The modules that hold tensors of these names."""
    found = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    return [name for name in found if name.rpartition(".")[2] != "criterion"]  # which weighs the loss


def fit_labels(adapter: VisionAdapter, labels: Sequence[str]) -> None:
    """Give a model a head for the labels, keeping the weights of labels it already has, by name."""
    net: Any = adapter.net
    before = label_names_of(net.config)
    if before == tuple(labels):
        return
    if has_no_names(net.config, len(labels)):
        set_labels(net.config, labels)
        adapter.label_names = tuple(labels)
        return
    pretrained = adapter.pretrained
    made = wrap(type(net)(config_for(net.config, labels)))
    notes = give_weights(made, net.state_dict(), ours=tuple(labels), theirs=before, origin="the given model")
    vars(net).update(vars(made.net))  # the object stays the same
    adapter.pretrained, adapter.label_names = pretrained, tuple(labels)
    if pretrained:
        adapter.notes += notes
