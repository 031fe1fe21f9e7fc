"""What an IR or ONNX file says of itself, read without loading the model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from drivetrain.errors import ArtifactError


class Port(NamedTuple):
    """An output of a graph: its name and its shape, -1 where it is open."""

    name: str
    shape: tuple[int, ...]


Said = tuple[dict[str, str], tuple[int, ...], tuple[Port, ...]]
"""``model_info``, the shape of the first input, and the outputs."""


def read_model_file(path: Path) -> Said:
    """What a file says.

    Raises:
        ArtifactError: it is no model.
        MissingDependencyError: the package onnx is not installed.
    """
    return _read_xml(path) if path.suffix == ".xml" else _read_onnx(path)


def _read_xml(path: Path) -> Said:
    from xml.etree import ElementTree as ET

    info: dict[str, str] = {}
    shape: tuple[int, ...] = ()
    outputs: list[Port] = []
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - a local model file; its weights are trusted too
    except (ET.ParseError, OSError) as error:
        raise ArtifactError(f"{str(path)!r} is not an OpenVINO model: {error}.") from error
    for layer in root.iterfind("layers/layer"):
        if layer.get("type") == "Parameter" and not shape and (data := layer.find("data")) is not None:
            shape = tuple(_dimension(part) for part in data.get("shape", "").split(","))
        elif layer.get("type") == "Result":
            name = layer.get("output_names", "") or layer.get("name", "")
            dims = tuple(_dimension(dim.text or "") for dim in layer.iterfind("input/port/dim"))
            outputs.append(Port(name.split(",")[0], dims))
    for item in root.iterfind("rt_info/model_info/*"):
        info[item.tag] = item.get("value", "")
    return info, shape, tuple(outputs)


def _dimension(text: str) -> int:
    return int(text) if text.strip().lstrip("-").isdigit() else -1


def _read_onnx(path: Path) -> Said:
    from drivetrain.machine.packages import require

    onnx = require("onnx", "onnx", purpose="Opening an .onnx file that has no manifest")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ArtifactError(f"{str(path)!r} is not an ONNX model: {error}.") from error
    info = {item.key.removeprefix("model_info ").strip(): item.value for item in model.metadata_props}
    shapes = [
        (value.name, tuple(int(dim.dim_value) or -1 for dim in value.type.tensor_type.shape.dim))
        for value in (*model.graph.input[:1], *model.graph.output)
    ]
    return info, shapes[0][1] if model.graph.input else (), tuple(Port(*item) for item in shapes[1:])
