"""From an image to the input of a model, as defined by :class:`~drivetrain.types.ImageSpec`, using only numpy.

Every engine and the runtime call these functions, and the artefact has the same arithmetic in its graph, so training,
prediction and the exported model see the same pixels.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.resampling import COLUMN_STEPS, GROUP, PARTS, ROW_STEPS, axis_weights
from drivetrain.types import ImageSpec

_MULTIPLICATIONS = 1 << 18
"""Per matrix product: above this, BLAS libraries start threads of their own, which compete with the decoders."""

_scratch = threading.local()


def preprocess(image: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """The input of the model.

    Args:
        image: ``(H, W, 3) uint8`` RGB, upright, of any size.
        spec: the input that the model expects.

    Returns:
        ``(3, height, width) float32``, contiguous.
    """
    return normalise(resize_uint8(image, spec), spec)


def normalise(image: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Step 3: ``(height, width, 3) uint8`` to ``(3, height, width) float32``."""
    offset, factor = normalisation(spec)
    planes = image.transpose(2, 0, 1).astype(np.float32, order="C")
    planes -= offset[:, None, None]
    planes *= factor[:, None, None]
    return planes


def normalisation(spec: ImageSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``(offset, factor)`` of each channel, so that step 3 is ``(pixel - offset) * factor``."""
    mean, std = np.asarray(spec.mean, np.float64), np.asarray(spec.std, np.float64)
    return (mean * 255).astype(np.float32), (1 / (std * 255)).astype(np.float32)


def resize_uint8(image: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Steps 1 and 2: crop, resize, pad.

    Args:
        image: ``(H, W, 3) uint8``.
        spec: the input that the model expects.

    Returns:
        ``(height, width, 3) uint8``, contiguous; never the given array itself.
    """
    size = (image.shape[0], image.shape[1])
    top, left, bottom, right = spec.crop_box(size)
    image = image[top:bottom, left:right]
    if spec.resize != "letterbox":
        return _resample(image, spec.size, spec)
    top, left, bottom, right = spec.letterbox_box(size)
    canvas = np.full((*spec.size, 3), spec.pad_value, np.uint8)
    canvas[top:bottom, left:right] = _resample(image, (bottom - top, right - left), spec)
    return canvas


def _resample(image: NDArray[np.uint8], size: tuple[int, int], spec: ImageSpec) -> NDArray[np.uint8]:
    """Both axes, exactly (see :mod:`~drivetrain.runtime.resampling`): rows first, as they are contiguous in memory."""
    if image.shape[:2] == size:
        return np.array(image, order="C")
    (height, width), (rows, columns) = size, image.shape[:2]
    flat = np.ascontiguousarray(image).reshape(rows, columns * 3)
    tall = _resample_rows(flat, height, spec)
    wide = _resample_columns(tall, columns, width, spec)
    wide += np.float32(0.5)
    np.clip(wide, 0, 255, out=wide)
    return wide[:height, : width * 3].astype(np.uint8).reshape(height, width, 3)


def _resample_rows(flat: NDArray[np.uint8], height: int, spec: ImageSpec) -> NDArray[np.float32]:
    """``(rows, M) uint8`` to ``(>= height, M) float32`` parts of levels; the end of the last group is unused."""
    axis = axis_weights(flat.shape[0], height, spec.interpolation, spec.antialias, ROW_STEPS)
    weights = axis.weights * np.float32(PARTS)
    taps = axis.weights.shape[2]
    length = flat.shape[1]
    result = _buffer("tall", (len(axis.starts) * GROUP, length))
    step = _even_step(length, GROUP * taps)
    block = _buffer("block", (flat.shape[0], step))
    for left in range(0, length, step):
        right = min(left + step, length)
        part = block[:, : right - left]
        np.copyto(part, flat[:, left:right])
        for group, start in enumerate(axis.starts):
            target = result[group * GROUP : (group + 1) * GROUP, left:right]
            np.matmul(weights[group], part[start : start + taps], out=target)
    return np.rint(result, out=result)


def _resample_columns(tall: NDArray[np.float32], columns: int, width: int, spec: ImageSpec) -> NDArray[np.float32]:
    """``(R, columns * 3)`` to ``(R, >= width * 3)``; the three channels stay interleaved."""
    starts, matrices = _column_matrices(columns, width, spec.interpolation, spec.antialias)
    taps = matrices.shape[1]
    result = _buffer("wide", (tall.shape[0], len(starts) * GROUP * 3))
    step = _even_step(tall.shape[0], taps * GROUP * 3)
    for group, start in enumerate(starts):
        source = tall[:, start * 3 : start * 3 + taps]
        target = result[:, group * GROUP * 3 : (group + 1) * GROUP * 3]
        for top in range(0, tall.shape[0], step):
            np.matmul(source[top : top + step], matrices[group], out=target[top : top + step])
    return result


def _column_matrices(columns: int, width: int, interpolation: Any, antialias: bool) -> tuple[Any, NDArray[np.float32]]:
    """The weights as ``(groups, 3 K, 3 GROUP)`` matrices that keep the channels apart."""
    key = (columns, width, interpolation, antialias)
    cache: dict[Any, tuple[Any, NDArray[np.float32]]] = _scratch.__dict__.setdefault("matrices", {})
    if key not in cache:
        if len(cache) >= 32:
            cache.pop(next(iter(cache)))
        axis = axis_weights(columns, width, interpolation, antialias, COLUMN_STEPS)
        spread = np.einsum("gok,cd->gkcod", axis.weights, np.eye(3, dtype=np.float32) / np.float32(PARTS))
        groups, outputs, taps = axis.weights.shape
        cache[key] = (axis.starts, np.ascontiguousarray(spread.reshape(groups, taps * 3, outputs * 3)))
    return cache[key]


def _even_step(length: int, multiplications: int) -> int:
    """The length of equal parts within the allowed cost, given the multiplications per position."""
    return -(-length // -(-length * multiplications // _MULTIPLICATIONS))


def _buffer(name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Reusable memory of this thread, as fresh pages cost more than the arithmetic."""
    buffers: dict[str, NDArray[np.float32]] = _scratch.__dict__.setdefault("buffers", {})
    size = shape[0] * shape[1]
    held = buffers.get(name)
    if held is None or held.size < size or held.size > 4 * size:
        held = buffers[name] = np.empty(size, np.float32)
    return held[:size].reshape(shape)
