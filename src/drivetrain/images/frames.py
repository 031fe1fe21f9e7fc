"""The pixels behind an image path: a file, or a frame of a video as ``clip.mp4#12``."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.images.read import read_image


def frame_of(path: str) -> tuple[str, int] | None:
    """The video and the 0-based frame number of a path such as ``clip.mp4#12``; ``None`` for the path of a file."""
    video, mark, number = path.rpartition("#")
    return (video, int(number)) if mark and number.isdecimal() and not Path(path).exists() else None


class FrameReader:
    """Reads images by path; a video stays open while its frames are requested in order."""

    def __init__(self) -> None:
        self._video = ""
        self._capture: Any = None
        self._next = 0

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read the image at a path.

        Args:
            path: a file, or ``clip.mp4#12`` for the 0-based frame 12.

        Returns:
            ``(H, W, 3) uint8`` RGB.

        Raises:
            DataNotFoundError: there is no such file or video.
            ImageError: the file or frame cannot be read.
        """
        frame = frame_of(path)
        return read_image(path) if frame is None else self._frame(*frame)

    def _frame(self, video: str, number: int) -> NDArray[np.uint8]:
        import cv2

        if not Path(video).exists():
            raise DataNotFoundError(f"the video {video!r} does not exist.")
        if video != self._video or number < self._next:
            self._capture, self._video, self._next = cv2.VideoCapture(video), video, 0
        while True:
            good, frame = self._capture.read()
            if not good:
                raise ImageError(f"frame {number} of {video!r} cannot be read.")
            self._next += 1
            if self._next > number:
                return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


class _Shared(threading.local):
    """One reader per thread, so that frames requested one by one, in order, decode their video only once."""

    reader: FrameReader | None = None
    process = 0


_shared = _Shared()


def shared_reader() -> FrameReader:
    """The reader of this thread; a forked child opens its videos again, or both would share one file position."""
    if _shared.reader is None or _shared.process != os.getpid():
        _shared.reader, _shared.process = FrameReader(), os.getpid()
    return _shared.reader
