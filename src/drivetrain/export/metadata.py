"""ModelAPI's metadata for an artefact."""

from __future__ import annotations

from drivetrain.export.source import ExportSource
from drivetrain.types import Task

_MOST_OBJECTS = 300
_RESIZE_TYPES = {"stretch": "standard", "crop": "crop", "letterbox": "fit_to_window_letterbox"}


def model_info(source: ExportSource) -> dict[str, str]:
    """The entries of ``model_info``; those given by the source take precedence.

    ModelAPI separates labels by spaces, so a space within a label is written as ``_``.
    """
    spec = source.image_spec
    info = {
        "labels": " ".join("_".join(name.split()) or "_" for name in source.label_names),
        "resize_type": _RESIZE_TYPES[spec.resize],
        "pad_value": str(spec.pad_value if spec.resize == "letterbox" else 0),
        "reverse_input_channels": "False",
    }
    if source.embed and not source.planes:
        info.update(embedded_processing="True", orig_height=str(spec.height), orig_width=str(spec.width))
    else:
        info["mean_values"] = " ".join(f"{value * 255:.9g}" for value in spec.mean)
        info["scale_values"] = " ".join(f"{value * 255:.9g}" for value in spec.std)
    if source.task.is_classification:
        info["model_type"] = "Classification"
        info["multilabel"] = str(source.task is Task.MULTILABEL_CLASSIFICATION)
        info["hierarchical"] = "False"
        info["output_raw_scores"] = "True"
        info["confidence_threshold"] = str(source.decoder_args.get("confidence_threshold", 0.5))
    info["task_type"] = source.task.value
    if source.tiling is not None:  # read by ModelAPI's tilers
        info["tile_size"], info["tiles_overlap"] = str(source.tiling.size), str(source.tiling.overlap)
        if source.task.has_objects:
            info["max_pred_number"] = str(source.decoder_args.get("max_detections", _MOST_OBJECTS))
    return {**info, **source.model_info}
