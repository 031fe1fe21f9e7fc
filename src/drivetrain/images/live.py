"""Cameras and network streams: frames without an end, read as they are asked for, each with the time it was read."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ImageError, UnsupportedError, either

_CAMERA = re.compile(r"camera:(\d+)")
_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp")
_PATIENCE = 10_000  # milliseconds until a stream that does not answer counts as gone


def is_live(source: Any) -> bool:
    """Whether a source is a camera (``camera:0``, a device file) or the address of a network stream."""
    if not isinstance(source, str | Path):
        return False
    return _camera(source) is not None or urlsplit(str(source)).scheme.lower() in _SCHEMES


def require_end(source: Any) -> None:
    """Refuse a source without an end where all answers are to be returned at once.

    Raises:
        UnsupportedError: the message says how to get them one by one.
    """
    if is_live(source):
        raise UnsupportedError(
            f"source={source_name(source)!r} is a camera or a stream, which has no end, so its answers cannot be "
            "returned all at once. Take them one by one, or give a recorded video: "
            f"{either('load(artefact).predict(source, stream=True)', 'drivetrain predict --source VIDEO')}."
        )


def source_name(source: str | Path) -> str:
    """The name of a live source for messages and paths, without the user name and password of an address."""
    camera = _camera(source)
    if camera is not None:
        return f"camera:{camera}" if isinstance(camera, int) else camera
    scheme, host, *rest = urlsplit(str(source))
    return urlunsplit((scheme, host.rpartition("@")[2], *rest))


def live_frames(source: str | Path) -> Iterator[tuple[str, NDArray[np.uint8], float]]:
    """The frames of a camera or stream.

    Args:
        source: see :func:`is_live`.

    Yields:
        ``(name#number, (H, W, 3) uint8 RGB, seconds since 1970)``.

    Raises:
        ImageError: it cannot be opened, or it gives no further frame.
    """
    import cv2

    name, number = source_name(source), 0
    capture = _opened(source, name)
    whole = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))  # of a file behind an address; 0 or less of what is live
    try:
        while True:
            found, frame = capture.read()
            if not found and 0 < whole <= number:
                return
            if not found:
                raise ImageError(
                    f"source={name!r} gave no further frame after {number}. Check that the camera is connected and the "
                    "stream still sent; then call predict again."
                )
            yield f"{name}#{number}", np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), time.time()
            number += 1
    finally:
        capture.release()


def _opened(source: str | Path, name: str) -> Any:
    """The open capture of OpenCV.

    Raises:
        ImageError: it cannot be opened.
    """
    import cv2

    camera = _camera(source)
    if camera is not None:
        capture = cv2.VideoCapture(camera)
        reason = "there is no such camera, it is used by another program, or you may not use it"
    else:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _PATIENCE]
        capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, limits)
        reason = f"nothing answered within {_PATIENCE // 1000} s, or what answered is no video"
    if capture.isOpened():
        return capture
    capture.release()
    raise ImageError(f"source={name!r} cannot be opened: {reason}.")


def _camera(source: str | Path) -> int | str | None:
    """The number of a camera or its device file; ``None`` for anything else."""
    found = _CAMERA.fullmatch(str(source))
    if found is not None:
        return int(found[1])
    return str(source) if str(source).startswith("/dev/") and Path(source).is_char_device() else None
