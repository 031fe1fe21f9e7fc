# ruff: noqa: TID253 - tests use the frameworks outright
"""Weights that are not quantised are stored in 16 bits, where OpenVINO's own compression would leave them in 32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov

from drivetrain.export.half_weights import halve_weights

RANDOM = np.random.default_rng(0)
SIDE = 40


def graph(inverse: np.ndarray) -> ov.Model:
    """A quantised activation before distances by a matrix, as in Padim."""
    ops = ov.opset13
    image = ops.parameter([1, 9, SIDE], np.float32, name="x")
    low, high = (ops.constant(np.full((1, 1, SIDE), end, np.float32)) for end in (-2, 2))
    rounded = ops.fake_quantize(image, low, high, low, high, 256)
    product = ops.matmul(rounded, ops.constant(inverse), False, False)
    scaled = ops.multiply(product, ops.constant(RANDOM.random((9, SIDE)).astype(np.float32) * 300))
    return ov.Model([ops.reduce_sum(scaled, ops.constant(2), False)], [image])


def kinds(model: ov.Model) -> dict[tuple[int, ...], str]:
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    return {tuple(node.get_output_shape(0)): node.get_output_element_type(0).get_type_name() for node in constants}


def test_matrices_get_16_bits_and_scales_stay(tmp_path: Path) -> None:
    matrix = (RANDOM.normal(size=(SIDE, SIDE)) + 99 * np.eye(SIDE)).astype(np.float32)
    model = graph(matrix)
    values = RANDOM.normal(size=(1, 9, SIDE)).astype(np.float32)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    before = ov.Core().compile_model(model, "CPU", exact)(values)[0]
    ov.save_model(model, tmp_path / "own.xml", compress_to_fp16=True)
    assert kinds(ov.Core().read_model(tmp_path / "own.xml"))[SIDE, SIDE] == "f32", "why this module is needed"
    assert halve_weights(model) == 1
    ov.save_model(model, tmp_path / "half.xml", compress_to_fp16=True)
    found = kinds(ov.Core().read_model(tmp_path / "half.xml"))
    assert (found[SIDE, SIDE], found[9, SIDE]) == ("f16", "f32")
    after = ov.Core().compile_model(tmp_path / "half.xml", "CPU", exact)(values)[0]
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-3 * np.abs(before).max())


def test_what_does_not_fit_into_16_bits_stays() -> None:
    for scale in (1e4, 1e-8):
        model = graph((RANDOM.normal(size=(SIDE, SIDE)) * 99 * scale).astype(np.float32))
        assert halve_weights(model) == 0
        assert kinds(model)[SIDE, SIDE] == "f32"
