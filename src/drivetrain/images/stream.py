"""An iterator over the images of a source, decoded ahead, which records those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from drivetrain.images.live import require_end
from drivetrain.images.sources import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Answer = TypeVar("Answer")


class ImageStream:
    """The images of a source as an iterator of ``(path, (H, W, 3) uint8 RGB)``.

    Args:
        source: see :func:`drivetrain.images.sources.expand_source`.
        strict: raise for an image that cannot be read.
        keep: keep images passed in memory (arrays, PIL images, bytes), so that answers can be drawn on them.

    Attributes:
        skipped: ``(path, reason)`` of each image that could not be read so far.

    Raises:
        DataError: there are no images.
        UnsupportedError: the source is a camera or a stream, which has no end.
        ImageError: while iterating, an image cannot be read and ``strict`` is set.
    """

    def __init__(self, source: Any, *, strict: bool = False, keep: bool = False) -> None:
        require_end(source)
        self.skipped: list[tuple[str, str]] = []
        self._kept: list[Any] | None = [] if keep else None
        self._times: list[float | None] = []
        self._images = decode(source, strict=strict, skipped=self.skipped, kept=self._kept, times=self._times)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        return self._images

    def with_images(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The answers about all images so far, in order, each with the image that was kept for it and its time.

        Args:
            answers: predictions or explanations; what stands for an image without one is left as it is.
        """
        if self._kept is None and not any(time is not None for time in self._times):
            return iter(answers)
        kept = [None] * len(self._times) if self._kept is None else self._kept
        return (_completed(*row) for row in zip(answers, kept, self._times, strict=True))


def _completed(item: Answer, given: Any, timestamp: float | None) -> Answer:
    if isinstance(item, tuple):
        return item
    known = {"image": given, "timestamp": timestamp if hasattr(item, "timestamp") else None}
    changes = {name: value for name, value in known.items() if value is not None}
    answer: Any = item
    changed: Answer = replace(answer, **changes) if changes else item
    return changed
