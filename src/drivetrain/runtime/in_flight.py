"""A thread of the runtime: it reads an image while the ones before it are in the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.sources import SourceItem, read_or_reason
from drivetrain.runtime.postprocess.base import Decoder, Outputs
from drivetrain.runtime.sessions import InferenceRequest, Session
from drivetrain.types import Prediction

IN_FLIGHT = 2
"""Images that a thread has in the device while it reads the next one."""

Made = TypeVar("Made")
#: Makes an answer of the outputs for an image, of its (height, width), and of the image.
OutputReader = Callable[[Outputs, tuple[int, int], SourceItem], Made]


class InferenceWorker(Generic[Made]):
    """Reads an image while the ones before it are in the device.

    Args:
        session: that is asked.
        read: makes an answer of the outputs.
        strict: an unreadable image is an error; otherwise its answer is its path and the reason.
    """

    def __init__(self, session: Session, read: OutputReader[Made], strict: bool) -> None:
        self._session, self._read, self._strict = session, read, strict
        self._idle: deque[InferenceRequest] = deque()
        self._busy: deque[tuple[int, InferenceRequest, tuple[int, int], SourceItem]] = deque()

    def submit(self, number: int, item: SourceItem) -> Iterable[tuple[int, Made | tuple[str, str]]]:
        """Begin an image; give the answers that are ready, with the numbers of their images."""
        image = read_or_reason(item, strict=self._strict)
        if isinstance(image, str):
            yield number, (item.path, image)
            return
        if len(self._busy) >= IN_FLIGHT:
            yield self._finish()
        self._start(number, item, image)

    def drain(self) -> Iterable[tuple[int, Made | tuple[str, str]]]:
        """Finish what is in the device."""
        while self._busy:
            yield self._finish()

    def _start(self, number: int, item: SourceItem, image: NDArray[np.uint8]) -> None:
        request = self._idle.popleft() if self._idle else self._session.request()
        request.start(image)
        self._busy.append((number, request, (image.shape[0], image.shape[1]), item))

    def _finish(self) -> tuple[int, Made]:
        number, request, size, item = self._busy.popleft()
        outputs = request.wait()
        self._idle.append(request)
        return number, self._read(outputs, size, item)


def decoded_answer(
    decoder: Decoder, keep: bool, outputs: Outputs, size: tuple[int, int], item: SourceItem
) -> Prediction:
    """The answer about an image, with the image itself if it is kept."""
    answer = decoder.decode(outputs, size, item.path)
    image = item.given if keep else None
    return replace(answer, label_names=decoder.label_names, image=image, timestamp=item.timestamp)
