"""Find in the graph of an artefact what its model makes of an image before it decides, by its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.machine.packages import openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.feature_output import pooled
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.runtime.preprocess_graph import take_resized

_SAME = 1e-4
"""How far features may be apart, as a share of the largest number."""


def find_features(
    artifact: Artifact, pictures: Sequence[NDArray[np.uint8]], vectors: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """The tensor of the graph that has the model's own features, the mean over its places where it has any.

    Args:
        artifact: at full precision.
        pictures: ``(H, W, 3) uint8`` RGB.
        vectors: what the model makes of each of them, ``(D,)``.

    Returns:
        The name of the ``node`` and the ``size`` D; nothing if no tensor has these numbers.
    """
    ov = openvino()
    core = ov.Core()
    size = len(vectors[0])
    model = take_resized(core.read_model(artifact.model_path), artifact.image_spec, embedded=artifact.embedded)
    candidates = [node for node in model.get_ordered_ops() if _may_be(node, size)]
    if not candidates:
        return {}
    before = len(model.outputs)
    model.add_results([ov.opset13.result(pooled(node).output(0)) for node in candidates])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    worst = np.zeros(len(candidates))
    for picture, vector in zip(pictures, vectors, strict=True):
        results = compiled(resize_uint8(picture, artifact.image_spec)[None])
        found = [np.asarray(results[port], np.float32).reshape(-1) for port in compiled.outputs[before:]]
        scale = max(float(np.abs(vector).max()), 1e-6)
        worst = np.maximum(worst, [float(np.abs(values - vector).max()) / scale for values in found])
    best = int(worst.argmin())
    return {"node": candidates[best].get_friendly_name(), "size": size} if worst[best] <= _SAME else {}


def _may_be(node: Any, size: int) -> bool:
    """Whether an output is ``(1, size)``, ``(1, N, size)`` or ``(1, size, h, w)`` of real numbers that are computed."""
    if node.get_output_size() != 1 or node.get_type_name() in ("Constant", "Parameter", "Result"):
        return False
    shape = node.output(0).partial_shape
    if not node.output(0).get_element_type().is_real() or not shape.is_static or len(shape) not in (2, 3, 4):
        return False
    sides = list(shape.to_shape())
    return bool(sides[0] == 1 and sides[1 if len(sides) != 3 else 2] == size)
