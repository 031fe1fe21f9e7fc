"""The objects of an answer: some of them alone, and the box round each, whatever it is described by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.types import Prediction

#: The fields of a prediction with an entry for each object.
OBJECT_FIELDS = ("labels", "scores", "boxes", "masks", "keypoints", "corners", "track_ids")


def with_objects(answer: Prediction, kept: NDArray[Any]) -> Prediction:
    """An answer with some of its objects only.

    Args:
        answer: the answer.
        kept: the numbers of these objects, or for each object whether it is one of them.
    """
    fields = {name: getattr(answer, name) for name in OBJECT_FIELDS}
    return replace(answer, **{name: value[kept] for name, value in fields.items() if value is not None})


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
