"""The images of a source, decoded ahead, with those that could not be read on the side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drivetrain.images.read import read_image
from drivetrain.images.sources import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.types import Predictions


class ImageStream:
    """Images of a source as an iterator of ``(path, (H, W, 3) uint8 RGB)``.

    Args:
        source: see :func:`drivetrain.images.sources.expand_source`.
        strict: an image that cannot be read is an error.
        keep: remember the images that have no file, so that answers can be drawn on them.

    Attributes:
        skipped: ``(path, reason)`` of each image that could not be read so far.

    Raises:
        DataError: there are no images.
        ImageError: while iterating, an image cannot be read and ``strict`` is set.
    """

    def __init__(self, source: Any, *, strict: bool = False, keep: bool = False) -> None:
        self.skipped: list[tuple[str, str]] = []
        self._keep = keep
        self._in_memory: list[NDArray[np.uint8]] = []
        self._images = decode(source, strict=strict, skipped=self.skipped)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for path, image in self._images:
            if self._keep and not path:
                self._in_memory.append(image)
            yield path, image

    def again(self, predictions: Predictions) -> Iterator[NDArray[np.uint8]] | None:
        """The images of the predictions once more, or ``None`` if all of them can be read from their files."""
        if not self._in_memory:
            return None
        kept = iter(self._in_memory)
        return (read_image(item.path) if item.path else next(kept) for item in predictions)
