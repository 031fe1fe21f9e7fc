"""The decoder interface, and mapping coordinates back to the original image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import ImageSpec, Prediction

Outputs = Mapping[str, NDArray[Any]]
"""Name of an output of the graph -> its value for one image, with a batch axis of 1 if the graph has one."""


class Decoder(ABC):
    """Turns the outputs of a graph for one image into a :class:`~drivetrain.types.Prediction`.

    Attributes:
        arguments: the names of its ``decoder_args``; any others are refused.
        takes_confidence: whether it has a ``confidence_threshold`` that a caller may set.
        takes_sensitivity: whether it has a ``sensitivity`` that a caller may set.
    """

    arguments: ClassVar[frozenset[str]] = frozenset()
    takes_confidence: ClassVar[bool] = False
    takes_sensitivity: ClassVar[bool] = False

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        unknown = sorted(set(decoder_args) - self.arguments)
        if unknown:
            raise ValueError(f"unknown arguments {unknown}; allowed: {sorted(self.arguments)}")
        self.decoder_args = decoder_args
        self.label_names = label_names
        self.image_spec = image_spec

    @abstractmethod
    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The prediction about an image of ``size`` (height, width), in pixels of that image."""


def pick(outputs: Outputs, name: str | None) -> NDArray[Any]:
    """The output with this name, or the first one."""
    return next(iter(outputs.values())) if name is None else outputs[name]


def to_original(points: NDArray[Any], spec: ImageSpec, size: tuple[int, int]) -> NDArray[np.float32]:
    """Undo crop, stretch or letterbox for coordinates.

    Args:
        points: ``(..., 2)`` xy in pixels of the model input.
        spec: how the image was transformed.
        size: ``(height, width)`` of the original image.

    Returns:
        ``(..., 2) float32`` xy in pixels of the original image, not clipped.
    """
    crop_top, crop_left, crop_bottom, crop_right = spec.crop_box(size)
    top, left, bottom, right = spec.letterbox_box(size)
    scale = np.array([(crop_right - crop_left) / (right - left), (crop_bottom - crop_top) / (bottom - top)])
    moved = (np.asarray(points, np.float64) - (left, top)) * scale + (crop_left, crop_top)
    return np.asarray(moved, np.float32)


def boxes_to_original(boxes: NDArray[Any], spec: ImageSpec, size: tuple[int, int]) -> NDArray[np.float32]:
    """Undo crop, stretch or letterbox for ``(N, 4)`` xyxy boxes, clipped to the image.

    Returns:
        ``(N, 4) float32`` in pixels of the original image of ``size`` (height, width).
    """
    corners = to_original(np.asarray(boxes).reshape(-1, 2, 2), spec, size)
    limits = np.array([size[1], size[0]], np.float32)
    return np.clip(corners, 0, limits).reshape(-1, 4)


def softmax(values: NDArray[Any]) -> NDArray[np.float32]:
    """Over the last axis, in float32."""
    shifted = np.asarray(values, np.float32) - np.max(values, axis=-1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(values: NDArray[Any]) -> NDArray[np.float32]:
    """Element by element, in float32, without overflow."""
    values = np.asarray(values, np.float32)
    powers = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1 / (1 + powers), powers / (1 + powers)), np.float32)


def activate(values: NDArray[Any], activation: str) -> NDArray[np.float32]:
    """Apply ``"softmax"``, ``"sigmoid"`` or ``"none"``.

    Raises:
        ValueError: the name is unknown.
    """
    if activation == "none":
        return np.asarray(values, np.float32)
    functions = {"softmax": softmax, "sigmoid": sigmoid}
    if activation not in functions:
        raise ValueError(f"activation={activation!r}; allowed: softmax, sigmoid, none")
    return functions[activation](values)
