"""One annotated image of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with its annotations; the pixels stay on disk.

    All coordinates are absolute pixels of the upright original image (EXIF orientation applied).

    Attributes:
        path: the image file.
        size: ``(height, width)`` in pixels.
        image_id: the number of the image in its source; COCO metrics settle ties in this order.
        subset: ``"train"``, ``"val"``, ``"test"`` or another name from the source.
        labels: ``(L,) int64``, 0-based. Labels of the image for classification (one) and
            multi-label classification (any number); the defect type for anomaly data.
        boxes: ``(N, 4) float32`` xyxy, or ``None`` if objects are not annotated.
        box_labels: ``(N,) int64``, 0-based label of each object.
        polygons: one entry per object, each a tuple of rings, each ``(K, 2) float32`` xy. For
            oriented detection: one ring of four corners.
        rles: one entry per object: a COCO run-length dict (``size``, ``counts``), or ``None``.
        keypoints: ``(N, K, 3) float32`` x, y, visibility (0 absent, 1 hidden, 2 visible).
        area: ``(N,) float32`` in square pixels, as COCO defines it.
        iscrowd: ``(N,) bool``.
        mask_path: a file with the class map (semantic segmentation) or the defect mask (anomaly).
        anomalous: whether the image shows an anomaly; ``None`` if unknown or not an anomaly data set.
    """

    path: str
    size: tuple[int, int]
    image_id: int = 0
    subset: str = "train"
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    boxes: NDArray[np.float32] | None = None
    box_labels: NDArray[np.int64] | None = None
    polygons: tuple[tuple[NDArray[np.float32], ...], ...] | None = None
    rles: tuple[dict[str, object] | None, ...] | None = None
    keypoints: NDArray[np.float32] | None = None
    area: NDArray[np.float32] | None = None
    iscrowd: NDArray[np.bool_] | None = None
    mask_path: str | None = None
    anomalous: bool | None = None
