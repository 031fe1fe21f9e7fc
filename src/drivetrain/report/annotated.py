"""The annotations of an image, in the form that is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.masks import class_map, has_outline, object_count, object_masks, rasterise
from drivetrain.types import Prediction, Sample

#: More image-sized masks than this need too much memory; then only the boxes are drawn.
_MOST_MASKS = 60


def annotation_of(sample: Sample, label_names: Sequence[str]) -> Prediction:
    """The annotations of an image as a prediction without scores, so that both are drawn in the same way.

    Args:
        sample: the annotated image.
        label_names: the name of each label.

    Raises:
        DataError: a mask cannot be read, or an annotation is malformed.
    """
    names = tuple(label_names)
    if sample.boxes is not None:
        return _objects(sample, names)
    labels = sample.labels if len(sample.labels) else None
    if sample.anomalous is not None:
        mask = rasterise(sample) if sample.anomalous and sample.mask_path is not None else None
        return Prediction(sample.path, sample.size, labels, anomaly_mask=mask, label_names=names)
    classes = class_map(sample) if sample.mask_path is not None else None
    return Prediction(sample.path, sample.size, labels, class_map=classes, label_names=names)


def _objects(sample: Sample, names: tuple[str, ...]) -> Prediction:
    count = object_count(sample)
    outlined = 0 < count <= _MOST_MASKS and any(has_outline(sample, index) for index in range(count))
    points = sample.keypoints
    if points is not None and points.size:
        points = points * np.array([1, 1, 0.5], np.float32)  # hidden points are drawn, missing ones are not
    return Prediction(
        sample.path,
        sample.size,
        sample.box_labels,
        boxes=sample.boxes,
        masks=object_masks(sample) if outlined else None,
        keypoints=points if points is not None and points.size else None,
        label_names=names,
    )


def marked(pixels: NDArray[np.uint8], box: tuple[float, float, float, float] | None, name: str) -> Prediction:
    """One named box on an image, or none."""
    size = (pixels.shape[0], pixels.shape[1])
    if box is None:
        return Prediction("", size)
    boxes = np.array([box], np.float32)
    return Prediction("", size, np.zeros(1, np.int64), boxes=boxes, label_names=(name or "?",))
