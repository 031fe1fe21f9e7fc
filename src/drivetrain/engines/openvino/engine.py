"""Test and predict with an exported model by the same verbs as with the model it came from."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.openvino import SPEC
from drivetrain.engines.openvino.framework import OpenVINOFramework


class OpenVINOEngine(Engine):
    """Runs an artefact; it neither trains nor exports."""

    spec = SPEC
    framework_class = OpenVINOFramework
