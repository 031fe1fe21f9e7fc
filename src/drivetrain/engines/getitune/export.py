"""Exporting getitune's models by getitune's own exporter, whose metadata for ModelAPI is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivetrain.engines.getitune.predict import detached
from drivetrain.engines.getitune.side_effects import contained, imported
from drivetrain.errors import ExportError
from drivetrain.export.source import ExportSource
from drivetrain.machine.packages import openvino, version_of
from drivetrain.torch_training.deployed import DeployedNetwork
from drivetrain.types.options import ExportFormat

_NAME = "model"
#: What the exporter of ours writes itself, as the preprocessing becomes part of the graph.
_OURS = {
    *("labels", "label_ids", "mean_values", "scale_values", "resize_type", "orig_height", "orig_width"),
    *("reverse_input_channels", "pad_value", "interpolation_type", "embedded_processing", "tile_config"),
}


def export_source(module: Any, deployed: DeployedNetwork, format: ExportFormat, folder: Path) -> ExportSource:  # noqa: A002
    """Prepare the exporter's source from the file that getitune writes.

    Args:
        module: getitune's model; it is not changed.
        deployed: the same model as it predicts here.
        format: the format of the artefact.
        folder: an empty folder that must exist until the artefact is written.

    Raises:
        ExportError: getitune cannot write the file.
    """
    formats = imported("getitune.types.export").ExportFormat
    wanted = formats.ONNX if format == "onnx" else formats.OPENVINO
    try:
        with contained():
            file = Path(detached(module).export(folder, _NAME, wanted))
    except (RuntimeError, ImportError, ValueError, NotImplementedError) as error:
        raise ExportError(f"getitune cannot export this model: {' '.join(str(error).split())[:400]}") from error
    common: dict[str, Any] = {
        "image_spec": deployed.spec,
        "task": deployed.task,
        "label_names": deployed.label_names,
        "decoder": deployed.decoder,
        "decoder_args": deployed.decoder_args,
        "versions": {"getitune": str(version_of("getitune"))},
    }
    if format == "onnx":
        return ExportSource(onnx=file, **common)
    return ExportSource(ir=file, model_info=_model_info(file), **common)


def _model_info(file: Path) -> dict[str, str]:
    """ModelAPI's keys in the file of getitune."""
    model = openvino().Core().read_model(file)
    if not model.has_rt_info(["model_info"]):
        return {}
    found = model.get_rt_info(["model_info"]).value
    return {str(key): str(getattr(value, "value", value)) for key, value in found.items() if str(key) not in _OURS}
