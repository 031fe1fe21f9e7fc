"""The OpenVINO engine, which serves artefacts as well as plain OpenVINO and ONNX models."""

from __future__ import annotations

from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

SPEC = EngineSpec(
    name="openvino",
    class_path="drivetrain.engines.openvino.engine:OpenVINOEngine",
    install="pip install drivetrain",
    packages=("openvino",),
    claims=("drivetrain:Predictor",),
    tasks=tuple(Task),
    hooks=("infer", "artifact", "cells", "features"),
    suffixes=(".xml", ".onnx"),
    upstream={"openvino": ">=2025.0"},
    summary="Exported models: the folders that export writes, .xml and .onnx files, and what load returns.",
)
