"""The models that the installed RF-DETR offers, with the fields of their configurations."""

from __future__ import annotations

import re
from typing import Any

from drivetrain.engines.rfdetr.variants import Variant, variants
from drivetrain.models.licence import spelt
from drivetrain.types.task import Task

#: Fields that the engine sets itself.
SET_BY_ENGINE = ("num_classes", "num_keypoints_per_class", "device", "model_name", "license")
_WORDS = {
    Task.DETECTION: "boxes",
    Task.INSTANCE_SEGMENTATION: "boxes and masks",
    Task.KEYPOINT_DETECTION: "boxes and keypoints",
}


def models() -> dict[str, Any]:
    """Rows for the catalogue: every variant that RF-DETR does not mark as deprecated."""
    return {
        "models": [_row(variant) for variant in variants()],
        "arguments": {variant.class_name: _arguments(variant) for variant in variants()},
    }


def _row(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "tasks": [variant.task.value],
        "class_path": f"rfdetr:{variant.class_name}",
        "family": variant.class_name,
        "code_licence": spelt(variant.config.license),  # each variant states its own, which also applies to its weights
        "weights_licence": spelt(variant.config.license),
        "summary": f"{variant.class_name}, {_WORDS[variant.task]}, {variant.config.resolution} px",
    }


def _arguments(variant: Variant) -> list[dict[str, str]]:
    rows = []
    for name, field in type(variant.config).model_fields.items():
        if name in SET_BY_ENGINE:
            continue
        kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
        default = "None" if name == "pretrain_weights" else repr(field.default)
        text = "A local file; nothing is downloaded." if name == "pretrain_weights" else field.description or ""
        kind = re.sub(r"\btyping\.", "", kind)
        rows.append({"name": name, "type": kind, "default": default, "help": text})
    return rows
