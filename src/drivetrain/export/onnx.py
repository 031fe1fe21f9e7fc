"""Writing ONNX models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivetrain.errors import ExportError, UnsupportedOptionError
from drivetrain.export.conversion import frozen_copy
from drivetrain.export.metadata import model_info
from drivetrain.export.onnx_ops import OnnxOps
from drivetrain.export.source import ExportSource
from drivetrain.machine.packages import is_installed, require
from drivetrain.runtime.preprocess import normalisation
from drivetrain.runtime.preprocess_graph import INPUT_NAME, RESIZED_NAME, pixels_of_planes
from drivetrain.runtime.resize_graph import resize_graph

if TYPE_CHECKING:
    from onnx import ModelProto

_OPSET = 18
_SMALL = 1024
"""Constants with fewer elements than this keep full precision: they are shapes and scales, not weights."""


def write_onnx(source: ExportSource, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Convert the source and write its ``.onnx``.

    Returns:
        The name of the file and the names of the outputs.

    Raises:
        ExportError: the model cannot be converted.
        MissingDependencyError: the package onnx is not installed.
        UnsupportedOptionError: the source is an OpenVINO model.
    """
    require("onnx", "onnx", purpose="Exporting to ONNX")
    if source.ir is not None:
        raise UnsupportedOptionError("format='onnx': the upstream gives an OpenVINO model only. Use format='openvino'.")
    file = f"{source.model_file}.onnx"
    model = _convert(source, folder / file)
    if len(model.graph.input) != 1:
        raise ExportError(f"the model has {len(model.graph.input)} inputs; an artefact has one, the image.")
    names = tuple(output.name for output in model.graph.output)
    if source.output_names and names != source.output_names:
        raise ExportError(f"the graph has the outputs {names}, and output_names={source.output_names}.")
    if source.embed:
        _embed(model, source)
    known = {entry.key: entry.value for entry in model.metadata_props}  # of the upstream's own exporter
    known |= {f"model_info {key}": value for key, value in model_info(source).items()}
    del model.metadata_props[:]
    for key, value in known.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    _save(model, folder / file)
    return file, names


def halve_onnx(file: Path) -> None:
    """Round the weights of a written model to half precision; it still computes in full precision."""
    import onnx

    model = onnx.load(str(file))
    _store_half(model)
    _save(model, file)


def _save(model: ModelProto, file: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the ONNX graph is not valid: {error}") from error
    onnx.save(model, str(file))


def _convert(source: ExportSource, path: Path) -> ModelProto:
    import onnx

    if source.onnx is not None:
        return onnx.load(str(source.onnx))
    import torch

    assert source.module is not None
    spec = source.image_spec
    example = torch.zeros(2 if source.dynamic_batch else 1, 3, spec.height, spec.width)
    options: dict[str, Any] = {"input_names": [INPUT_NAME], "output_names": list(source.output_names)}
    # torch's current exporter; the older one knows fewer operations, but handles data-dependent sizes
    if is_installed("onnxscript") and not source.traced:
        batch = {0: torch.export.Dim("batch")} if source.dynamic_batch else None
        options.update(dynamo=True, dynamic_shapes=(batch,), external_data=False, verbose=False, optimize=True)
    else:
        axes = {name: {0: "batch"} for name in (INPUT_NAME, *source.output_names)}
        options.update(dynamo=False, dynamic_axes=axes if source.dynamic_batch else None)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer's warnings about constants are irrelevant to the user
            torch.onnx.export(frozen_copy(source.module), (example,), str(path), opset_version=_OPSET, **options)
        return onnx.load(str(path))
    except Exception as error:
        raise ExportError(f"torch cannot convert the model to ONNX: {error}") from error


def _embed(model: ModelProto, source: ExportSource) -> None:
    """Insert the preprocessing before the graph, as `runtime.preprocess_graph.embed_preprocessing` does."""
    from onnx import TensorProto, helper

    graph, spec = model.graph, source.image_spec
    old = graph.input[0].name
    inner = f"{old}_normalised" if old == INPUT_NAME else old
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = inner
    ops = OnnxOps("preprocess")
    image = pixels_of_planes(ops, INPUT_NAME) if source.planes else INPUT_NAME
    resized = ops.named(resize_graph(ops, image, spec), RESIZED_NAME)
    offset, factor = normalisation(spec)
    planes = ops.subtract(ops.transpose(resized, (0, 3, 1, 2)), ops.constant(offset.reshape(1, 3, 1, 1)))
    ops.named(ops.multiply(planes, ops.constant(factor.reshape(1, 3, 1, 1))), inner)
    nodes = [*ops.nodes, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(ops.initializers)
    del graph.value_info[:]
    sizes: list[Any] = ["height", "width"]
    shape = ["batch" if source.dynamic_batch else 1, *([3, *sizes] if source.planes else [*sizes, 3])]
    kind = TensorProto.FLOAT if source.planes else TensorProto.UINT8
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, kind, shape))


def _store_half(model: ModelProto) -> None:
    """Store the weights in half precision; they are widened again when the model is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALL or np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
