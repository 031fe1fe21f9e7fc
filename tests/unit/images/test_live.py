# ruff: noqa: TID253 - tests use the frameworks outright
"""Cameras and streams: frames with their times, and clear words where they cannot be opened or go away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drivetrain.errors import ImageError, UnsupportedError
from drivetrain.images.live import is_live, live_frames, require_end, source_name
from drivetrain.images.sources import decode, expand_source, is_held
from drivetrain.images.stream import ImageStream
from drivetrain.images.tracks import check_track
from drivetrain.runtime.prediction_stream import PredictionStream
from drivetrain.types import Prediction

FRAMES = 5


class Camera:
    """OpenCV's capture of a camera that is pulled out after some frames."""

    def __init__(self, number: Any) -> None:
        assert number == 3
        self.left, self.released = FRAMES, False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's word
        return True

    def get(self, _: int) -> float:
        return -1.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, np.full((6, 8, 3), (0, 0, 10 * self.left), np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> list[Camera]:
    made: list[Camera] = []

    def opened(number: Any) -> Camera:
        made.append(Camera(number))
        return made[-1]

    monkeypatch.setattr(cv2, "VideoCapture", opened)
    return made


def until_it_fails(items: Iterator[Any]) -> tuple[list[Any], str]:
    """The items before the error, and what it says."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(items))
        except ImageError as error:
            return found, str(error)


def test_which_sources_have_no_end() -> None:
    live = ["camera:0", "rtsp://user:secret@host:554/stream", "HTTP://host/stream.mjpg"]
    assert [is_live(source) for source in live] == [True, True, True]
    others = ["folder", "video.mp4", Path("camera"), 0, True, None, ["camera:0"], np.zeros((4, 4, 3), np.uint8), "C:/x"]
    assert [is_live(source) for source in others] == [False] * len(others)
    assert source_name(live[1]) == "rtsp://host:554/stream"
    assert not is_held("camera:0")
    check_track("bytetrack", "camera:0")
    require_end("video.mp4")
    for ask in (require_end, ImageStream):
        with pytest.raises(UnsupportedError, match=r"'camera:0' .* has no end.*stream=True"):
            ask("camera:0")


def test_a_camera_that_goes_away_is_an_error_after_its_last_frame(camera: list[Camera]) -> None:
    before = time.time()
    found, error = until_it_fails(decode("camera:3"))
    assert "source='camera:3' gave no further frame after 5." in error
    assert [path for path, _ in found] == [f"camera:3#{number}" for number in range(FRAMES)]
    assert [image[0, 0].tolist() for _, image in found] == [[10 * level, 0, 0] for level in (4, 3, 2, 1, 0)]
    assert camera[0].released
    items = list(zip(range(2), expand_source("camera:3"), strict=False))
    assert all(before <= (item.timestamp or 0) <= time.time() for _, item in items)
    assert items[0][1].given is not None


def test_a_camera_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ImageError, match="'camera:97' cannot be opened: there is no such camera"):
        next(live_frames("camera:97"))


class Stream(BaseHTTPRequestHandler):
    """Sends pictures one after the other, as network cameras do, and breaks off."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for number in range(FRAMES):
            picture = cv2.imencode(".jpg", np.full((48, 64, 3), 40 * number, np.uint8))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:secret@127.0.0.1:{server.server_address[1]}/stream.mjpg"
    server.shutdown()
    server.server_close()


def test_a_stream_is_read_over_the_network_until_it_breaks_off(address: str) -> None:
    found, error = until_it_fails(live_frames(address))
    assert f"source={address.replace('user:secret@', '')!r} gave no further frame" in error
    levels = [int(image.mean()) for _, image, _ in found]
    assert len(levels) >= FRAMES - 1
    assert all(abs(level - 40 * number) < 4 for number, level in enumerate(levels))
    times = [at for _, _, at in found]
    assert times == sorted(times)


def test_an_address_where_nothing_answers_is_an_error() -> None:
    with pytest.raises(ImageError, match=r"'http://127\.0\.0\.1:9/nothing' cannot be opened: nothing answered"):
        next(live_frames("http://127.0.0.1:9/nothing"))


def test_frames_of_a_video_have_their_times(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (32, 24))
    for level in range(6):
        writer.write(np.full((24, 32, 3), 30 * level, np.uint8))
    writer.release()
    items = list(expand_source(path))
    assert [item.timestamp for item in items] == pytest.approx([number / 20 for number in range(6)], abs=1e-3)
    images = ImageStream(path)
    answers = [Prediction(name, image.shape[:2]) for name, image in images]
    assert [item.timestamp for item in images.with_images(answers)] == [item.timestamp for item in items]


def numbered(count: int) -> PredictionStream:
    return PredictionStream(iter([Prediction(str(number), (1, 1)) for number in range(count)]))


def test_predictions_are_taken_in_a_coroutine_while_others_go_on() -> None:
    async def take() -> list[str]:
        return [item.path async for item in numbered(3)]

    assert asyncio.run(take()) == ["0", "1", "2"]


def test_a_function_is_called_with_each_prediction() -> None:
    taken: list[str] = []
    assert numbered(3).for_each(lambda item: taken.append(item.path)) == 3
    assert taken == ["0", "1", "2"]
    with pytest.raises(ZeroDivisionError):
        numbered(3).for_each(lambda item: 1 // int(item.path))
