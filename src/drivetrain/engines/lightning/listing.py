"""The models of timm, torchvision and transformers; runs in a child process, so it may import them."""

from __future__ import annotations

from typing import Any

from drivetrain.models.catalog import Argument, signature_arguments
from drivetrain.models.licence import NONE, spelt
from drivetrain.types.task import Task

_TASKS = [Task.CLASSIFICATION.value, Task.MULTILABEL_CLASSIFICATION.value]

#: Constructor arguments that most timm models share, in addition to those of ``timm.create_model``.
TIMM_COMMON: tuple[Argument, ...] = (
    Argument("drop_rate", "float", "0.0", "Dropout before the classifier."),
    Argument("drop_path_rate", "float", "None", "Stochastic depth."),
    Argument("global_pool", "str", "the model's own", "Pooling before the classifier: avg, max, avgmax, token, ..."),
    Argument("img_size", "int | tuple[int, int]", "the model's own", "Input size of models whose size is fixed."),
    Argument("patch_size", "int", "the model's own", "Of vision transformers."),
    Argument("act_layer", "str", "the model's own", "Activation layer by name."),
    Argument("norm_layer", "str", "the model's own", "Normalisation layer by name."),
    Argument("bn_momentum", "float", "the model's own", "Of batch normalisation."),
    Argument("bn_eps", "float", "the model's own", "Of batch normalisation."),
)

_PRETRAINED = Argument(
    "pretrained", "bool | str", "False", "True downloads the upstream's weights; a path loads that file."
)
_FOLDER = Argument("pretrained", "str", "None", "A folder written by save_pretrained, with configuration and weights.")
_LORA = Argument("lora", "dict", "None", "Fields of PEFT's LoraConfig; only the adapter and the head are trained.")
#: Transformers models that need more than an image, or whose output differs from what their table says.
_NOT_SERVED = (
    *("DonutSwinForImageClassification", "ImageGPTForImageClassification", "PerceiverForImageClassification"),
    *("ShieldGemma2ForImageClassification", "Siglip2ForImageClassification"),
    *("DetrForSegmentation", "OneFormerForUniversalSegmentation", "VideomtForUniversalSegmentation"),
)


def timm_models() -> dict[str, Any]:
    """All models of timm: one family, with the arguments of ``timm.create_model``."""
    import timm

    entries = [
        {
            "name": name,
            "tasks": _TASKS,
            "class_path": "timm:create_model",
            "family": "timm",
            "summary": "timm image classifier",
            "code_licence": "Apache-2.0",  # from the package metadata
            "weights_licence": timm_licence(name),
        }
        for name in timm.list_models()
    ]
    rows = [row for row in signature_arguments(timm.create_model) if row["name"] not in ("model_name", "pretrained")]
    return {"models": entries, "arguments": {"timm": [*map(_row, (_PRETRAINED, *TIMM_COMMON)), *rows]}}


def timm_licence(name: str) -> str:
    """The licence on the model card of the default weights."""
    import timm

    if not timm.is_model_pretrained(name):
        return NONE
    card = timm.get_pretrained_cfg(name)
    return spelt(card.license if card is not None else None)


def _torchvision_licence(name: str) -> str:
    """The licence in the metadata of the default weights; most have none."""
    import torchvision

    weights = list(torchvision.models.get_model_weights(name))
    if not weights:
        return NONE
    text = str(torchvision.models.get_model_weights(name).DEFAULT.meta.get("license") or "")
    return "CC-BY-NC-4.0" if "/SWAG/" in text else spelt(text)  # the licence at the URL given there


def torchvision_models() -> dict[str, Any]:
    """The torchvision models for images, each with the arguments of its own class."""
    import torchvision

    entries, arguments = _vision_models()
    for name in torchvision.models.list_models(module=torchvision.models):
        builder = torchvision.models.get_model_builder(name)
        family = builder.__module__.rpartition(".")[2]
        entries.append(
            {
                "name": name,
                "tasks": _TASKS,
                "class_path": f"{builder.__module__}:{builder.__name__}",
                "family": family,
                "summary": "torchvision image classifier",
                "code_licence": "BSD-3-Clause",  # the LICENSE of its repository; the metadata say "BSD"
                "weights_licence": _torchvision_licence(name),
            }
        )
        if family not in arguments:
            arguments[family] = [_row(_PRETRAINED), *_class_arguments(builder)]
    return {"models": entries, "arguments": arguments}


def transformers_models() -> dict[str, Any]:
    """The transformers models that can be trained here, each with the fields of its configuration."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    entries, arguments = [], {}
    for tasks, table in (
        (_TASKS, auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        ([Task.DETECTION.value], auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
        ([Task.INSTANCE_SEGMENTATION.value], auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES),
        ([Task.SEMANTIC_SEGMENTATION.value], auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES),
    ):
        for kind, name in _pairs(table):
            try:
                fields = getattr(transformers, name).config_class().to_dict()
            except (ImportError, AttributeError, TypeError, ValueError, OSError):
                continue  # it needs a package that is not installed, or an argument without a default
            entries.append(
                {
                    "name": name,
                    "tasks": tasks,
                    "class_path": f"transformers:{name}",
                    "family": name,
                    "summary": f"transformers {kind}",
                    "code_licence": "Apache-2.0",  # the metadata of the package
                }
            )
            arguments[name] = [_row(_FOLDER), _row(_LORA), *(_row(Argument(key)) for key in sorted(fields))]
    return {"models": entries, "arguments": arguments}


def _pairs(table: Any) -> list[tuple[str, str]]:
    """Kind and class of each supported model in a table of transformers."""
    named = [(kind, name) for kind, names in table.items() for name in ([names] if isinstance(names, str) else names)]
    return [(kind, name) for kind, name in named if not name.startswith(_NOT_SERVED)]


def _vision_models() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The detectors and segmentation models of torchvision, each with the arguments of its builder."""
    from torchvision import models

    entries, arguments = [], {}
    for module, summary in ((models.detection, "torchvision detector"), (models.segmentation, "torchvision segmenter")):
        for name in models.list_models(module=module):
            builder = models.get_model_builder(name)
            entries.append(
                {
                    "name": name,
                    "tasks": [_task_of(name, builder.__module__).value],
                    "class_path": f"{builder.__module__}:{builder.__name__}",
                    "family": name,
                    "summary": summary,
                }
            )
            skip = ("weights", "weights_backbone", "progress", "num_classes", "kwargs")
            arguments[name] = [_row(_PRETRAINED), *signature_arguments(builder, skip=skip)]
    return entries, arguments


def _task_of(name: str, module: str) -> Task:
    if ".segmentation." in module:
        return Task.SEMANTIC_SEGMENTATION
    if name.startswith("maskrcnn"):
        return Task.INSTANCE_SEGMENTATION
    return Task.KEYPOINT_DETECTION if name.startswith("keypointrcnn") else Task.DETECTION


def _class_arguments(builder: Any) -> list[dict[str, str]]:
    """The arguments that the builder passes on to the class it returns."""
    import sys
    import typing

    made = typing.get_type_hints(builder, vars(sys.modules[builder.__module__])).get("return")
    skip = (
        "self",
        "weights",
        "progress",
        "num_classes",
        "init_weights",
        "block",
        "layers",
        "inverted_residual_setting",
    )
    return signature_arguments(made, skip=skip) if isinstance(made, type) else []


def _row(argument: Argument) -> dict[str, str]:
    return {"name": argument.name, "type": argument.type, "default": argument.default, "help": argument.help}
