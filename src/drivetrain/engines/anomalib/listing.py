"""Listing the models of the installed Anomalib, in a child process."""

from __future__ import annotations

import inspect
from typing import Any

from drivetrain.models.catalog import signature_arguments
from drivetrain.models.licence import UNKNOWN, spelt

EXTRA_ARGUMENTS: tuple[dict[str, str], ...] = (
    {
        "name": "pretrained",
        "type": "bool | str | None",
        "default": "None",
        "help": "Weights of the backbone: a local file, True (may be downloaded), False (random), or None for the "
        "model's default weights, from the local caches only.",
    },
    {
        "name": "sensitivity",
        "type": "float | None",
        "default": "None",
        "help": "How readily an image or a pixel counts as anomalous, 0..1; 0.5 is the threshold found in validation.",
    },
)


def _backbone_licence(cls: type) -> str:
    """The licence on the model card of the default backbone; unknown for backbones that are not from timm."""
    import timm

    usual = inspect.signature(cls).parameters.get("backbone")
    if usual is None or not isinstance(usual.default, str):
        return UNKNOWN
    known = timm.is_model(usual.default) and timm.is_model_pretrained(usual.default)
    return spelt(timm.get_pretrained_cfg(usual.default).license) if known else UNKNOWN


def list_models() -> dict[str, list[dict[str, Any]] | dict[str, list[dict[str, str]]]]:
    """Rows for the catalogue: every exported model class, and the arguments of its constructor."""
    import anomalib.models
    from anomalib.models.components import AnomalibModule

    models: list[dict[str, Any]] = []
    arguments: dict[str, list[dict[str, str]]] = {}
    for name in sorted(anomalib.models.__all__):
        cls = getattr(anomalib.models, name)
        if not (inspect.isclass(cls) and issubclass(cls, AnomalibModule)):
            continue
        text = (inspect.getdoc(cls) or "").strip().splitlines()
        models.append(
            {
                "name": name,
                "tasks": ["anomaly"],
                "class_path": f"anomalib.models:{name}",
                "family": name,
                "summary": text[0] if text else "",
                "code_licence": "Apache-2.0",  # from the package metadata
                "weights_licence": _backbone_licence(cls),
            }
        )
        own = signature_arguments(cls)
        taken = {row["name"] for row in own}
        arguments[name] = [*own, *(row for row in EXTRA_ARGUMENTS if row["name"] not in taken)]
    return {"models": models, "arguments": arguments}
