"""Two statistics per layer of an artefact for one picture: enough to find the layer at which two runtimes diverge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ArtifactError
from drivetrain.export.reference import FOLDER
from drivetrain.machine.files import write_json
from drivetrain.machine.packages import openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.runtime.preprocess_graph import take_resized

INPUT = "the resized image"
_NAME = "layers.json"
_KINDS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul", "MVN"}
    | {"SoftMax", "Softmax", "Sigmoid", "MaxPool", "AvgPool", "Interpolate", "Concat", "Add", "Multiply", "Subtract"}
)
_MOST = 400
_RELATIVE = 1e-2
"""A layer differs if one of its numbers differs by more than this fraction. Runtimes that sum in a different order
differ by at most 1e-4; only differences of orders of magnitude matter."""

Numbers = dict[str, tuple[float, float]]


def layer_numbers(artifact: Artifact, image: NDArray[np.uint8], *, device: str = "CPU") -> Numbers:
    """Run one picture at f32 and compute the numbers of each layer.

    Args:
        artifact: the artefact whose graph is run with OpenVINO.
        image: ``(H, W, 3) uint8`` RGB.
        device: an OpenVINO device.

    Returns:
        Name of the layer -> mean and root mean square of its output, from the input to the output of the graph,
        preceded by the resized image itself.

    Raises:
        ArtifactError: OpenVINO cannot load the graph.
    """
    ov = openvino()
    resized = resize_uint8(image, artifact.image_spec)
    values = resized.astype(np.float64)
    found: Numbers = {INPUT: (float(values.mean()), float(np.sqrt(np.mean(values**2))))}
    core = ov.Core()
    try:
        model = core.read_model(artifact.model_path)
        model = take_resized(model, artifact.image_spec, embedded=artifact.embedded)
        names = _watch(model)
        compiled = core.compile_model(model, device, {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled(resized[None])
    except RuntimeError as error:
        raise ArtifactError(f"OpenVINO cannot run {str(artifact.model_path)!r} on {device!r}: {error}") from error
    outputs = [results[port] for port in compiled.outputs][-len(names) :] if names else []
    return found | {name: (float(pair[0]), float(pair[1])) for name, pair in zip(names, outputs, strict=True)}


def _watch(model: Any) -> list[str]:
    """Add an output of two numbers for each relevant layer; return their names, in the order of the graph."""
    ov = openvino()
    ops = ov.opset13
    watched = [node for node in model.get_ordered_ops() if _is_worth_it(node)][:_MOST]
    pairs = []
    for node in watched:
        values = ops.convert(node.output(0), "f32")
        axes = ops.constant(np.arange(len(node.output(0).partial_shape), dtype=np.int64))
        mean = ops.reduce_mean(values, axes, False)
        power = ops.sqrt(ops.reduce_mean(ops.multiply(values, values), axes, False))
        pairs.append(ops.concat([ops.unsqueeze(part, ops.constant(np.int64(0))) for part in (mean, power)], 0))
    model.add_results([ops.result(pair.output(0)) for pair in pairs])
    return [node.get_friendly_name() for node in watched]


def _is_worth_it(node: Any) -> bool:
    if node.get_type_name() not in _KINDS or not node.get_output_element_type(0).is_real():
        return False
    shape = node.output(0).partial_shape
    if not shape.rank.is_static or len(shape) == 0:
        return False
    return all(source.get_node().get_type_name() != "Constant" for source in node.input_values()[:1])


def write_layers(artifact: Artifact, image: NDArray[np.uint8]) -> None:
    """Store the numbers of the layers next to the reference pictures; NaN and infinity are stored as strings."""
    numbers = layer_numbers(artifact, image)
    write_json(
        artifact.path / FOLDER / _NAME, {name: [repr(value) for value in pair] for name, pair in numbers.items()}
    )


def first_difference(artifact: Artifact, image: NDArray[np.uint8], *, device: str = "CPU") -> str | None:
    """The first layer whose numbers here differ from those at export.

    Args:
        artifact: an artefact with the numbers of its layers, see :func:`write_layers`.
        image: the picture that they were computed for.
        device: an OpenVINO device.

    Returns:
        The name of the layer, or ``None`` if none differs or no numbers were stored.
    """
    file = artifact.path / FOLDER / _NAME
    if not file.is_file():
        return None
    stored: Mapping[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    now = layer_numbers(artifact, image, device=device)
    for name, pair in stored.items():
        if name not in now or not _same([float(value) for value in pair], now[name]):
            return name
    return None


def _same(stored: list[float], now: tuple[float, float]) -> bool:
    scale = max(abs(stored[1]), abs(now[1]), 1e-6)
    return bool(np.allclose(stored, now, rtol=0.0, atol=_RELATIVE * scale, equal_nan=True))
