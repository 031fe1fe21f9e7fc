"""What the export needs of a model of Ultralytics."""

from __future__ import annotations

from drivetrain.engines.ultralytics.containment import ultralytics
from drivetrain.engines.ultralytics.infer import Deployed
from drivetrain.export.source import ExportSource
from drivetrain.types import Task

_MODEL_TYPES = {
    Task.DETECTION: "YOLO11",
    Task.INSTANCE_SEGMENTATION: "YOLO-seg",
    Task.SEMANTIC_SEGMENTATION: "Segmentation",
}


def export_source(deployed: Deployed) -> ExportSource:
    """The very module and decoder that answer in the engine, for the exporter.

    Args:
        deployed: made of Ultralytics' object.
    """
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
