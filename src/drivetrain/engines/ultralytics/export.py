"""What the export needs of a model of Ultralytics."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

from typing import Any

import torch
import yaml

from drivetrain.engines.ultralytics.containment import contained, ultralytics
from drivetrain.engines.ultralytics.predict import deploy
from drivetrain.export.source import ExportSource
from drivetrain.torch_training.deployed import DeployedNetwork
from drivetrain.types import Task
from drivetrain.types.options import ExportFormat

_MODEL_TYPES = {
    Task.DETECTION: "YOLO11",
    Task.INSTANCE_SEGMENTATION: "YOLO-seg",
    Task.SEMANTIC_SEGMENTATION: "Segmentation",
}


def export_source(yolo: Any, format: ExportFormat) -> ExportSource:  # noqa: A002  (the field's word)
    """Prepare the exporter's source from the same module and decoder that the engine predicts with.

    The IR keeps the input format of Ultralytics' own loader; ONNX files take raw images.

    Args:
        yolo: Ultralytics' object; it is not changed.
        format: the format of the artefact.
    """
    deployed = deploy(yolo)
    with contained(), torch.no_grad():  # a detector creates its grid on the first image of a size, before tracing
        deployed.module(torch.zeros(1, 3, *deployed.spec.size))
    return ExportSource(
        image_spec=deployed.spec,
        task=deployed.task,
        label_names=deployed.label_names,
        decoder=deployed.decoder,
        decoder_args=deployed.decoder_args,
        module=deployed.module,
        output_names=deployed.output_names,
        embed=format != "openvino",
        model_info=_model_info(deployed),
        extra_texts={"metadata.yaml": _metadata(yolo, deployed)} if format == "openvino" else {},
        versions={"ultralytics": str(ultralytics().__version__)},
    )


def _model_info(deployed: DeployedNetwork) -> dict[str, str]:
    """ModelAPI's keys, if it has a class for these outputs."""
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


def _metadata(yolo: Any, deployed: DeployedNetwork) -> str:
    """The metadata that Ultralytics' own loader reads from next to an IR."""
    head = yolo.model.model[-1]
    content: dict[str, Any] = {
        "description": "exported by drivetrain",
        "version": str(ultralytics().__version__),
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "task": yolo.task,
        "head": type(head).__name__,
        "stride": int(max(yolo.model.stride)),
        "batch": 1,
        "channels": 3,
        "imgsz": list(deployed.spec.size),
        "names": dict(enumerate(deployed.label_names)),
        "args": {"batch": 1, "dynamic": False, "nms": False},
        "end2end": deployed.decoder_args.get("layout") == "objects",
    }
    if deployed.task is Task.KEYPOINT_DETECTION:
        content["kpt_shape"] = [int(number) for number in head.kpt_shape]
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
