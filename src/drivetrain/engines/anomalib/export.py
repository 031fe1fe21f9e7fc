"""Preparing an Anomalib model for export: its graph, directly from torch, and ModelAPI's metadata."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anomalib.models.components import AnomalibModule
from torch import nn

from drivetrain.engines.anomalib.deploy import OUTPUTS, Deployed, crop_fraction
from drivetrain.export.conversion import convert_module, frozen_copy
from drivetrain.export.source import ExportSource
from drivetrain.machine.packages import openvino
from drivetrain.types import ImageSpec, Task

if TYPE_CHECKING:
    from openvino import Model

_SAME = 1e-4


class _Tuple(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """The deployed model with its outputs in a fixed order, as graphs need them."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.deployed(image)
        return tuple(outputs[name] for name in OUTPUTS if name in outputs)


def export_source(
    model: AnomalibModule,
    spec: ImageSpec,
    label_names: Sequence[str],
    *,
    sensitivity: tuple[float, float],
    graph_format: str,
    scratch: Path,
) -> ExportSource:
    """Prepare the model for the exporter, without changing it.

    The artefact takes ``(B, 3, H, W)`` in 0..1 of any size, the input that Anomalib's own inferencer and ModelAPI pass.

    Args:
        model: a fitted model.
        spec: how images are resized for the model.
        label_names: the label names of the data.
        sensitivity: for the image and for the pixels; it becomes the artefact's own.
        graph_format: ``"openvino"`` or ``"onnx"``.
        scratch: a folder for files that are needed until the export is finished.

    Raises:
        ExportError: the model cannot be converted.
    """
    module = frozen_copy(_Tuple(Deployed(model, sensitivity)))
    names = output_names(module, spec)
    source: dict[str, Any] = {"module": module, "output_names": names}
    dynamic = False
    if graph_format == "openvino":
        graph, dynamic = convert(module, names, spec, scratch)
        source = {"ir": _save(graph, scratch / "model.xml")}
    has_map = "anomaly_map" in names
    return ExportSource(
        **source,
        image_spec=spec,
        task=Task.ANOMALY,
        label_names=tuple(label_names),
        decoder="anomaly",
        decoder_args=_decoder_args(crop_fraction(model), sensitivity),
        dynamic_batch=dynamic,
        planes=True,
        model_info={
            "model_type": "AnomalyDetection",
            "task": "segmentation" if has_map else "classification",
            "labels": "Normal Anomaly",
            "image_threshold": "0.5",
            "pixel_threshold": "0.5",
            "normalization_scale": "1.0",
        },
        versions={"anomalib": importlib.metadata.version("anomalib")},
    )


def _decoder_args(crop: tuple[float, float], sensitivity: tuple[float, float]) -> dict[str, Any]:
    """The decoder's arguments that differ from its defaults."""
    whole = {} if crop == (1.0, 1.0) else {"crop": list(crop)}
    return {**whole, "graph_sensitivity": list(sensitivity)}


def output_names(module: nn.Module, spec: ImageSpec) -> tuple[str, ...]:
    """The outputs of the model."""
    with torch.inference_mode():
        found = module(torch.zeros(1, 3, spec.height, spec.width))
    return OUTPUTS[: len(found)]


def convert(module: nn.Module, names: tuple[str, ...], spec: ImageSpec, scratch: Path) -> tuple[Model, bool]:
    """The graph, and whether it accepts more than one image at a time.

    The batch size is only left dynamic if a batch of two gives what torch gives for each image on its own; otherwise it
    is fixed to 1. The check reads the graph back from a file: straight from the converter it needs several times the
    memory.

    Raises:
        ExportError: OpenVINO cannot convert the model.
    """
    torch.manual_seed(0)
    example = torch.rand(2, 3, spec.height, spec.width)
    graph = convert_module(module, example[:1], dynamic_batch=True)
    for name, port in zip(names, graph.outputs, strict=True):
        port.get_tensor().set_names({name})
    graph.inputs[0].get_tensor().set_names({"input"})
    graph = openvino().Core().read_model(_save(graph, scratch / "converted.xml"))
    dynamic = _takes_batches(graph, module, example)
    graph.reshape([-1 if dynamic else 1, 3, spec.height, spec.width])
    return graph, dynamic


def _takes_batches(graph: Model, module: nn.Module, example: torch.Tensor) -> bool:
    ov = openvino()

    with torch.no_grad():
        expected = [torch.cat(parts) for parts in zip(*(module(image) for image in example.split(1)), strict=True)]
    trial = graph.clone()
    try:
        trial.reshape([-1, *example.shape[1:]])
        compiled = ov.Core().compile_model(trial, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled(example.numpy())
    except RuntimeError:  # the graph is fixed to the batch size of the example
        return False
    pairs = [(found[port], value.numpy()) for port, value in zip(compiled.outputs, expected, strict=True)]
    return all(
        ours.shape == theirs.shape
        and (theirs.dtype == np.bool_ or bool(np.allclose(ours, theirs, rtol=_SAME, atol=_SAME)))
        for ours, theirs in pairs
    )


def _save(graph: Model, path: Path) -> Path:
    openvino().save_model(graph, path, compress_to_fp16=False)
    return path
