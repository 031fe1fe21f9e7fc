"""What a graph makes of an image before it decides: a tensor in the middle of it, as one more output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import UnsupportedError, either
from drivetrain.images.sources import SourceItem
from drivetrain.machine.packages import openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess.base import Outputs
from drivetrain.runtime.sessions import GraphChange

FEATURES_NAME = "drivetrain_features"
_AGAIN = either("Engine(run).export()", "drivetrain export --model RUN")


def feature_output(artifact: Artifact) -> GraphChange:
    """What adds the output to the graph.

    Args:
        artifact: that says where its features are.

    Returns:
        A change of the graph.

    Raises:
        UnsupportedError: it does not say it.
    """
    name = artifact.features.get("node")
    if not name:
        raise UnsupportedError(
            f"The artefact {str(artifact.path)!r} does not say where its features are: its model has none that are "
            f"known, or an older drivetrain wrote it. Export the model again ({_AGAIN}), or embed with the model "
            "itself."
        )

    def change(model: Any) -> tuple[str, ...]:
        node = next((item for item in model.get_ordered_ops() if item.get_friendly_name() == name), None)
        if node is None:
            raise UnsupportedError(f"The graph of {str(artifact.path)!r} has no tensor {name!r} any more.")
        model.add_results([openvino().opset13.result(pooled(node).output(0))])
        return (FEATURES_NAME,)

    return change


def pooled(node: Any) -> Any:
    """The output of a node as ``(1, D)``: the mean over the places of a feature map or over tokens, else as it is.

    Args:
        node: of a graph whose shapes are static, with an output ``(1, D)``, ``(1, N, D)`` or ``(1, D, h, w)``.
    """
    ops = openvino().opset13
    axes = {4: [2, 3], 3: [1]}.get(len(node.output(0).partial_shape))
    value = node if axes is None else ops.reduce_mean(node, ops.constant(np.array(axes, np.int64)), False)
    return ops.convert(value, "f32") if axes is None else value


def read_features(outputs: Outputs, _size: tuple[int, int], _item: SourceItem) -> NDArray[np.float32]:
    """``(D,) float32`` of an image."""
    return np.asarray(outputs[FEATURES_NAME], np.float32).reshape(-1)
