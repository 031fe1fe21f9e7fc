"""Tracks in the format of the MOT Challenge: a line for each tracked object in each frame of a video."""

from __future__ import annotations

from collections.abc import Iterator

from drivetrain.errors import DataError
from drivetrain.images.frames import frame_of
from drivetrain.images.object_boxes import boxes_of
from drivetrain.types import Predictions


def mot_lines(predictions: Predictions) -> Iterator[str]:
    """``frame,id,left,top,width,height,score,class,-1`` with frames, ids and classes from 1 on.

    Objects without a track are left out, as the format has no place for them.

    Args:
        predictions: the predictions about the frames of one video, or about arrays in order.

    Raises:
        DataError: objects were not tracked, or the frames are from several videos.
    """
    if any(item.track_ids is None for item in predictions):
        raise DataError(
            "The format 'mot' stores tracks, and these predictions have none. Predict on a video with "
            "track='bytetrack'."
        )
    frames = [frame_of(item.path) if item.path else None for item in predictions]
    if len({frame[0] for frame in frames if frame is not None}) > 1:
        raise DataError(
            "The format 'mot' stores the tracks of one video, and these are of several. Predict on them one by one."
        )
    for place, (item, frame) in enumerate(zip(predictions, frames, strict=True)):
        number = (place if frame is None else frame[1]) + 1
        for index, box in enumerate(boxes_of(item)):
            track = -1 if item.track_ids is None else int(item.track_ids[index])
            if track < 0:
                continue
            score = 1.0 if item.scores is None else float(item.scores[index])
            label = -1 if item.labels is None else int(item.labels[index]) + 1
            left, top, right, bottom = (float(value) for value in box)
            sides = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
            yield f"{number},{track + 1},{sides},{score:.5f},{label},-1\n"
