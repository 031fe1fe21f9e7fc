"""Objects that keep their numbers over the frames of a video: which sources can be tracked, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from drivetrain.errors import UnsupportedOptionError
from drivetrain.images.bytetrack import UNSURE, ByteTracker
from drivetrain.images.frames import frame_of
from drivetrain.images.live import is_live
from drivetrain.images.object_boxes import boxes_of, with_objects
from drivetrain.images.sources import VIDEO_SUFFIXES
from drivetrain.types import Prediction, Task
from drivetrain.types.options import Track, check_choice

Answer = TypeVar("Answer")


def check_track(track: str | None, source: Any, task: Task | None = None) -> None:
    """Refuse to track where there are no objects, and over images that are no frames in their order.

    Args:
        track: the option; nothing is refused where it is ``None``.
        source: what was given to predict.
        task: of the model; ``None`` if it is not known yet.

    Raises:
        OptionError: there is no such tracker.
        UnsupportedOptionError: the task finds no objects; the source is one image, a folder, files, or a data set.
    """
    if track is None:
        return
    check_choice("track", track, get_args(Track))
    if task is not None and not task.has_objects:
        raise UnsupportedOptionError(
            f"track={track!r} cannot be honoured: an answer of the task {task.value!r} has no objects to follow. "
            "Leave it out."
        )
    if not _is_series(source):
        what = repr(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
        raise UnsupportedOptionError(
            f"track={track!r} cannot be honoured: source is {what}, and objects are tracked over the frames of a video "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}). Give a video, or a series of arrays (H, W, 3) in their order."
        )


def _is_series(source: Any) -> bool:
    if is_live(source):
        return True
    if isinstance(source, str | Path):
        return Path(source).suffix.lower() in VIDEO_SUFFIXES and not Path(source).is_dir()
    if isinstance(source, list | tuple):
        if any(isinstance(item, str | Path) for item in source):
            return all(isinstance(item, str | Path) and _is_series(item) for item in source)
        return all(_is_pixels(item, 3) for item in source)
    if hasattr(source, "__array__") or hasattr(source, "ndim"):
        return _is_pixels(source, 4)
    return isinstance(source, Iterator)  # frames that are made as they are asked for


def _is_pixels(item: Any, axes: int) -> bool:
    return getattr(item, "ndim", None) == axes


def least_score(confidence: float | None, usual: float) -> float:
    """The score from which on objects are asked for while they are tracked.

    Args:
        confidence: what was asked for; ``None`` if nothing was.
        usual: what objects need otherwise.
    """
    return min(UNSURE, usual) if confidence is None else confidence


def tracked(answers: Iterable[Answer], usual: float) -> Iterator[Answer]:
    """The answers about frames with the numbers of their objects; each video is tracked by itself.

    Args:
        answers: about the frames, in their order; what is no prediction is passed on.
        usual: an object of a lower score stays only if a track has it.
    """
    tracker, video, next_id = ByteTracker(), None, 0
    for answer in answers:
        if not isinstance(answer, Prediction):
            yield answer
            continue
        frame = frame_of(answer.path) if answer.path else None
        name = "" if frame is None else frame[0]
        if name != video:
            tracker, video = ByteTracker(next_id), name
        yield _numbered(answer, tracker, usual)
        next_id = tracker.next_id


def _numbered(answer: Prediction, tracker: ByteTracker, usual: float) -> Any:
    scores = answer.scores if answer.scores is not None else np.zeros(0, np.float32)
    numbers = tracker.update(boxes_of(answer), scores)
    kept = np.flatnonzero((scores >= usual) | (numbers >= 0))
    return replace(with_objects(answer, kept), track_ids=numbers[kept])
