"""Weights in 16 bits in graphs where OpenVINO's own compression leaves all of them in 32, as in quantised ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.machine.packages import openvino

_FEWEST = 256  # numbers; smaller constants are biases, scales and shapes
_LARGEST = float(np.finfo(np.float16).max)
_MOST_ERROR = 1e-3  # of the largest number
_NOT_WEIGHTS = frozenset({"FakeQuantize", "Multiply", "Subtract", "Divide", "Power", "Interpolate"})
"""Operations whose constants are ranges, scales and sizes."""


def halve_weights(graph: Any) -> int:
    """Store large constants with weights in 16 bits and convert them where they are used; arithmetic is unchanged.

    Constants that do not fit into 16 bits, by their range or because their numbers are too small, stay as they are.

    Args:
        graph: an OpenVINO model; it is changed.

    Returns:
        How many constants were changed.
    """
    ops, changed = openvino().opset13, 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_output_element_type(0).get_type_name() != "f32":
            continue
        targets = list(node.output(0).get_target_inputs())
        if any(target.get_node().get_type_name() in _NOT_WEIGHTS for target in targets):
            continue
        values = np.array(node.data)
        if values.size < _FEWEST or not _fits(values):
            continue
        wide = ops.convert(ops.constant(values.astype(np.float16)), "f32")
        wide.set_friendly_name(f"{node.get_friendly_name()}/wide")
        for target in targets:
            target.replace_source_output(wide.output(0))
        changed += 1
    graph.validate_nodes_and_infer_types()
    return changed


def _fits(values: NDArray[np.float32]) -> bool:
    most = float(np.abs(values).max())
    if not most <= _LARGEST:
        return False
    return bool(np.abs(values - values.astype(np.float16).astype(np.float32)).max() <= _MOST_ERROR * most)
