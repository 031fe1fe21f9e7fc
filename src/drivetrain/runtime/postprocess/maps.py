"""Sampling a map over the model input at the pixels of the original image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import ImageSpec


class MapSampler:
    """Bilinear samples of a map over the model input, at pixels of the original image.

    Args:
        spec: how the image became the model input.
        size: ``(height, width)`` of the original image.
        shape: shape of the map.
    """

    def __init__(self, spec: ImageSpec, size: tuple[int, int], shape: tuple[int, int]) -> None:
        top, left, bottom, right = spec.letterbox_box(size)
        self._rows = _taps(np.arange(size[0]), size[0], (top, bottom), spec.height, shape[0])
        self._columns = _taps(np.arange(size[1]), size[1], (left, right), spec.width, shape[1])

    def sample(
        self, values: NDArray[np.float32], rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """The values for a part of the original image.

        Args:
            values: ``(h, w)``.
            rows: rows of the original image.
            columns: columns of the original image.

        Returns:
            ``(len(rows), len(columns)) float32``.
        """
        low, high, part = (array[rows] for array in self._rows)
        tall = values[low] * (1 - part)[:, None] + values[high] * part[:, None]
        low, high, part = (array[columns] for array in self._columns)
        return tall[:, low] * (1 - part) + tall[:, high] * part


def _taps(
    pixels: NDArray[np.int64], length: int, inside: tuple[int, int], side: int, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two cells that each pixel of one axis lies between, and how close it is to the second."""
    centres = (pixels + 0.5) * ((inside[1] - inside[0]) / length) + inside[0]
    places = np.clip(centres * (cells / side) - 0.5, 0, cells - 1)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (places - low).astype(np.float32)


def over_image(values: NDArray[np.float32], spec: ImageSpec, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map over the model input, brought to 0..1 and to the original image.

    Args:
        values: ``(h, w)``.
        spec: how the image became the model input.
        size: ``(height, width)`` of the original image.

    Returns:
        ``(H, W) float32``, the lowest value on the image 0 and the highest 1; 0 where the model did not look.
    """
    top, left, bottom, right = spec.crop_box(size)
    sampler = MapSampler(spec, (bottom - top, right - left), (values.shape[0], values.shape[1]))
    seen = sampler.sample(np.asarray(values, np.float32))
    low, high = float(seen.min()), float(seen.max())
    found = np.zeros(size, np.float32)
    if high > low:
        found[top:bottom, left:right] = (seen - low) / (high - low)
    return found
