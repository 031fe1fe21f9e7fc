"""What the export needs of a model of Ultralytics."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

from typing import Any

import torch

from drivetrain.engines.ultralytics.containment import contained, ultralytics
from drivetrain.engines.ultralytics.infer import Deployed, deploy
from drivetrain.export.source import ExportSource
from drivetrain.types import Task

_MODEL_TYPES = {
    Task.DETECTION: "YOLO11",
    Task.INSTANCE_SEGMENTATION: "YOLO-seg",
    Task.SEMANTIC_SEGMENTATION: "Segmentation",
}


def export_source(yolo: Any) -> ExportSource:
    """The very module and decoder that answer in the engine, for the exporter.

    Args:
        yolo: Ultralytics' object; it is not changed.
    """
    deployed = deploy(yolo)
    with contained(), torch.no_grad():  # a detector makes its grid at the first image of a size, before it is traced
        deployed.module(torch.zeros(1, 3, *deployed.spec.size))
    return ExportSource(
        image_spec=deployed.spec,
        task=deployed.task,
        label_names=deployed.label_names,
        decoder=deployed.decoder,
        decoder_args=deployed.decoder_args,
        module=deployed.module,
        output_names=deployed.output_names,
        model_info=_model_info(deployed),
        versions={"ultralytics": str(ultralytics().__version__)},
    )


def _model_info(deployed: Deployed) -> dict[str, str]:
    """ModelAPI's keys, where it has a class for the outputs."""
    if deployed.task not in _MODEL_TYPES or deployed.decoder_args.get("layout", "anchors") != "anchors":
        return {}
    info = {"model_type": _MODEL_TYPES[deployed.task]}
    if deployed.task is not Task.SEMANTIC_SEGMENTATION:
        info.update(
            nms_execute="True",
            nms_max_predictions="300",
            iou_threshold="0.7",
            confidence_threshold="0.25",
        )
    return info
