"""Testing and predicting with an exported model through the same verbs as with the original model."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.openvino import SPEC
from drivetrain.engines.openvino.framework import OpenVINOFramework


class OpenVINOEngine(Engine):
    """Runs an artefact; it cannot train or export."""

    spec = SPEC
    framework_class = OpenVINOFramework
