# ruff: noqa: TID253 - tests use the frameworks outright
"""Preprocessing: close to Pillow and OpenCV, and the same on the host and in the graph."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivetrain.runtime.preprocess import normalise, preprocess, resize_uint8
from drivetrain.runtime.preprocess_graph import embed_preprocessing, take_resized
from drivetrain.types import ImageSpec

SIZES = [(480, 640), (1, 1), (3, 500), (500, 3), (224, 224), (33, 47), (641, 479), (30, 41), (4000, 61)]


def _noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 10_007 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _smooth(height: int, width: int) -> NDArray[np.uint8]:
    return cv2.resize(_noise(5, 7), (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_is_pillows_up_to_its_double_rounding(size: tuple[int, int]) -> None:
    image = _noise(*size)
    expected = np.asarray(Image.fromarray(image).resize((45, 37), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize_uint8(image, ImageSpec(37, 45)) - expected).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_bicubic_is_pillows_where_nothing_overshoots(size: tuple[int, int]) -> None:
    image = _smooth(*size) // 2 + 64
    expected = np.asarray(Image.fromarray(image).resize((45, 37), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resize_uint8(image, ImageSpec(37, 45, interpolation="bicubic")) - expected).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_without_antialias_it_is_opencvs(size: tuple[int, int]) -> None:
    image = _noise(*size)
    expected = cv2.resize(image, (45, 37), interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(resize_uint8(image, ImageSpec(37, 45, antialias=False)) - expected).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_nearest_takes_the_pixel_under_the_centre(size: tuple[int, int]) -> None:
    image = _noise(*size)
    rows = (2 * np.arange(37) + 1) * size[0] // 74
    columns = (2 * np.arange(45) + 1) * size[1] // 90
    np.testing.assert_array_equal(
        resize_uint8(image, ImageSpec(37, 45, interpolation="nearest")), image[rows][:, columns]
    )


def test_crop_and_letterbox_put_the_image_where_the_spec_says() -> None:
    image = _noise(50, 90)
    crop = ImageSpec(40, 40, resize="crop", crop_fraction=0.8)
    top, left, bottom, right = crop.crop_box((50, 90))
    np.testing.assert_array_equal(resize_uint8(image, crop), image[top:bottom, left:right])
    box = ImageSpec(90, 90, resize="letterbox", pad_value=7)
    result = resize_uint8(image, box)
    np.testing.assert_array_equal(result[20:70], image)
    assert (result[:20] == 7).all()
    assert (result[70:] == 7).all()


def test_normalisation_and_layout() -> None:
    spec = ImageSpec(8, 9, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    image = _noise(8, 9)
    result = preprocess(image, spec)
    expected = ((image / 255.0 - spec.mean) / spec.std).transpose(2, 0, 1)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_array_equal(result, normalise(resize_uint8(image, spec), spec))
    assert resize_uint8(image, spec) is not image


@pytest.mark.parametrize(
    ("resize", "interpolation", "antialias"),
    itertools.product(["stretch", "crop", "letterbox"], ["nearest", "bilinear", "bicubic"], [True, False]),
)
def test_the_graph_computes_what_the_host_computes(resize: str, interpolation: str, antialias: bool) -> None:
    spec = ImageSpec.from_dict(
        {"height": 37, "width": 50, "resize": resize, "interpolation": interpolation, "antialias": antialias}
        | {"crop_fraction": 0.9, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    )
    model = embed_preprocessing(_identity(spec), spec, dynamic_batch=True)
    compiled = ov.compile_model(model.clone(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in SIZES:
        image = _noise(*size)
        values = compiled(np.stack([image, image[::-1]]))[0]
        for value, picture in zip(values, (image, image[::-1]), strict=True):
            scale, offset = (np.array(values).reshape(3, 1, 1) for values in (spec.std, spec.mean))
            levels = (value * scale + offset) * 255
            np.testing.assert_allclose(levels, resize_uint8(picture, spec).transpose(2, 0, 1), atol=1e-3)


def test_the_cut_graph_takes_what_the_host_has_resized() -> None:
    spec = ImageSpec(37, 50, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    image = _noise(100, 80)
    for embedded in (True, False):
        model = embed_preprocessing(_identity(spec), spec, dynamic_batch=False) if embedded else _identity(spec)
        cut = take_resized(model, spec, embedded=embedded)
        compiled = ov.compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert list(compiled.inputs[0].shape) == [1, 37, 50, 3]
        np.testing.assert_allclose(compiled(resize_uint8(image, spec)[None])[0][0], preprocess(image, spec), atol=1e-5)


def _identity(spec: ImageSpec) -> ov.Model:
    opset = ov.opset13
    parameter = opset.parameter([-1, 3, spec.height, spec.width], ov.Type.f32)
    return ov.Model([opset.add(parameter, np.float32(0))], [parameter])
