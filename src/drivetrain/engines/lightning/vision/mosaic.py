"""Composing one training image from four."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drivetrain.engines.lightning.vision.placed import Placed, moved_scene


def mosaic_of(scenes: Sequence[Placed], fill: int) -> Placed:
    """Compose one scene from four, each at half its size in its own quarter.

    Args:
        scenes: four of the same size; not modified.
        fill: level of pixels outside an image.
    """
    height, width = scenes[0].image.shape[:2]
    parts = []
    for number, scene in enumerate(scenes):
        down, across = divmod(number, 2)
        offset = np.array([across * width / 2, down * height / 2])
        parts.append(moved_scene(scene, 0.5, offset, fill))
    first = parts[0]
    return replace(
        first,
        image=_quarters([part.image for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        masks=_joined([part.masks for part in parts]),
        keypoints=_joined([part.keypoints for part in parts]),
        class_map=None if first.class_map is None else _quarters([part.class_map for part in parts]),
    )


def _quarters(images: Sequence[Any]) -> Any:
    """The quarter that each image fills."""
    height, width = images[0].shape[:2]
    joined = images[0].copy()
    rows, columns = (slice(0, height // 2), slice(height // 2, None)), (slice(0, width // 2), slice(width // 2, None))
    for number, image in enumerate(images):
        down, across = divmod(number, 2)
        joined[rows[down], columns[across]] = image[rows[down], columns[across]]
    return joined


def _joined(parts: Sequence[Any]) -> Any:
    if parts[0] is None:
        return None
    return np.concatenate([part for part in parts if len(part)] or parts[:1])
