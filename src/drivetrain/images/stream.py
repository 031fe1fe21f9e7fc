"""An iterator over the images of a source, decoded ahead, which records those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

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
        ImageError: while iterating, an image cannot be read and ``strict`` is set.
    """

    def __init__(self, source: Any, *, strict: bool = False, keep: bool = False) -> None:
        self.skipped: list[tuple[str, str]] = []
        self._kept: list[Any] | None = [] if keep else None
        self._images = decode(source, strict=strict, skipped=self.skipped, kept=self._kept)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        return self._images

    def with_images(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The answers about all images so far, in order, each with the image that was kept for it.

        Args:
            answers: predictions or explanations; what stands for an image without one is left as it is.
        """
        if self._kept is None:
            return iter(answers)
        return (_with_image(item, given) for item, given in zip(answers, self._kept, strict=True))


def _with_image(item: Answer, given: Any) -> Answer:
    if given is None or isinstance(item, tuple):
        return item
    answer: Any = item
    changed: Answer = replace(answer, image=given)
    return changed
