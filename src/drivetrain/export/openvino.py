"""Writing OpenVINO models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import ExportError
from drivetrain.export.conversion import convert_module, frozen_copy
from drivetrain.export.metadata import model_info
from drivetrain.export.source import ExportSource
from drivetrain.machine.packages import openvino
from drivetrain.runtime.preprocess_graph import embed_preprocessing

if TYPE_CHECKING:
    from openvino import Model


def write_openvino(source: ExportSource, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Convert the source and write its ``.xml`` and ``.bin``.

    Returns:
        The name of the ``.xml`` and the names of the outputs.

    Raises:
        ExportError: OpenVINO cannot convert the model.
    """
    ov = openvino()

    model = _convert(source)
    if len(model.inputs) != 1:
        raise ExportError(f"the model has {len(model.inputs)} inputs; an artefact has one, the image.")
    names = _name_outputs(model, source.output_names)
    if source.embed:
        model = embed_preprocessing(model, source.image_spec, dynamic_batch=source.dynamic_batch, planes=source.planes)
    for key, value in model_info(source).items():
        model.set_rt_info(value, ["model_info", key])
    file = f"{source.model_file}.xml"
    ov.save_model(model, folder / file, compress_to_fp16=False)
    return file, names


def halve_openvino(file: Path) -> None:
    """Round the weights of a written model to half precision; it still computes in full precision."""
    ov = openvino()
    half = file.with_name(f"half_{file.name}")  # not in place: the old weights may still be mapped into memory
    ov.save_model(ov.Core().read_model(file), half, compress_to_fp16=True)
    for suffix in (".bin", ".xml"):
        half.with_suffix(suffix).replace(file.with_suffix(suffix))


def _convert(source: ExportSource) -> Model:
    ov = openvino()

    spec = source.image_spec
    shape = [-1 if source.dynamic_batch else 1, 3, spec.height, spec.width]
    try:
        if source.module is not None:
            import torch

            example = torch.zeros(1, 3, spec.height, spec.width)
            model = convert_module(frozen_copy(source.module), example, dynamic_batch=source.dynamic_batch)
        else:
            model = ov.Core().read_model(source.ir or source.onnx)
        if source.embed or source.module is not None:
            model.reshape(shape)
    except RuntimeError as error:
        raise ExportError(f"OpenVINO cannot convert the model: {error}") from error
    return model


def _name_outputs(model: Model, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Name the outputs, or return the names they already have."""
    if not wanted:
        return tuple(sorted(port.get_names())[0] if port.get_names() else f"output_{n}" for n, port in _ports(model))
    if len(model.outputs) != len(wanted):
        raise ExportError(f"the model has {len(model.outputs)} outputs, and output_names={wanted} names {len(wanted)}.")
    for number, port in _ports(model):
        port.get_tensor().set_names({wanted[number]})
    return wanted


def _ports(model: Model) -> list[tuple[int, Any]]:
    return list(enumerate(model.outputs))
