"""PyTorch operations that OpenVINO's converter lacks or converts incorrectly."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivetrain.machine.packages import openvino


def extensions() -> list[Any]:
    """The extensions to pass to ``openvino.convert_model`` as ``extension``."""
    from openvino.frontend.pytorch import ConversionExtension

    names = {
        "aten::softplus": _softplus,
        "aten::cosine_similarity": _cosine_similarity,
        "aten._upsample_bicubic2d_aa.default": _bicubic_smoothed,
    }
    return [ConversionExtension(name, convert) for name, convert in names.items()]


def _softplus(node: Any) -> list[Any]:
    """``log(1 + exp(beta x)) / beta``; OpenVINO's own rule omits ``beta`` inside the exponent."""
    ops = openvino().opset14

    values = node.get_input(0)
    beta = ops.convert_like(ops.constant(np.float32(node.get_values_from_const_input(1))), values)
    return [ops.divide(ops.softplus(ops.multiply(values, beta)), beta).output(0)]


def _cosine_similarity(node: Any) -> list[Any]:
    """The dot product of both inputs along an axis, each divided by its length, which is bounded from below."""
    ops = openvino().opset14

    least = ops.constant(np.float32(node.get_values_from_const_input(3)))
    axis = ops.constant(np.array([node.get_values_from_const_input(2)], np.int64))

    def unit(values: Any) -> Any:
        length = ops.reduce_l2(values, axis, keep_dims=True)
        return ops.divide(values, ops.maximum(length, ops.convert_like(least, values)))

    product = ops.multiply(unit(node.get_input(0)), unit(node.get_input(1)))
    return [ops.reduce_sum(product, axis, keep_dims=False).output(0)]


def _bicubic_smoothed(node: Any) -> list[Any]:
    """Resize ``(B, C, H, W)`` by Pillow's bicubic rule, which smooths when shrinking; corners are not aligned."""
    ops = openvino().opset14

    sizes = ops.constant(np.array(node.get_values_from_const_input(1), np.int64))
    rule = {"mode": "bicubic_pillow", "shape_calculation_mode": "sizes", "cube_coeff": -0.5, "antialias": True}
    return [ops.interpolate(node.get_input(0), sizes, axes=ops.constant(np.array([2, 3], np.int64)), **rule).output(0)]
