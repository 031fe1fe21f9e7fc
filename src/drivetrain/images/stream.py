"""An iterator over the images of a source, decoded ahead, which records those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drivetrain.images.sources import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.types import Prediction


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

    def with_images(self, answers: Iterable[Prediction]) -> Iterator[Prediction]:
        """The answers about all images so far, in order, each with the image that was kept for it."""
        if self._kept is None:
            return iter(answers)
        pairs = zip(answers, self._kept, strict=True)
        return (item if given is None else replace(item, image=given) for item, given in pairs)
