"""The box round each object of an answer, whatever the object is described by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import Prediction


def boxes_of(prediction: Prediction) -> NDArray[np.float32]:
    """``(N, 4) float32`` xyxy: the boxes, or those round the corners, the keypoints or the masks."""
    if prediction.boxes is not None:
        return prediction.boxes
    points = prediction.corners if prediction.corners is not None else prediction.keypoints
    if points is not None:
        places = points[..., :2]
        return np.concatenate([places.min(axis=1), places.max(axis=1)], axis=1).astype(np.float32)
    found = []
    for mask in prediction.masks if prediction.masks is not None else ():
        rows, columns = np.nonzero(mask)
        found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0))
    return np.array(found, np.float32).reshape(-1, 4)
