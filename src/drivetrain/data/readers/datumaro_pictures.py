"""The images of Datumaro's items: existing files, or files in the user's cache for images inside other files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drivetrain.data.tree import fingerprint_of, is_image
from drivetrain.machine import files
from drivetrain.machine.files import cache_dir


class DatumaroPictures:
    """Finds or writes the image file of each item.

    Args:
        source: what was read, by its path and state, so that equal sources share their files; ``""`` to write none.
    """

    def __init__(self, source: str = "") -> None:
        self._folder = cache_dir() / "pictures" / fingerprint_of([source]) if source else None
        self.written = 0
        """The number of images that were inside another file."""

    def path_of(self, item: Any) -> str | None:
        """The absolute path of the item's image; ``None`` if it has none."""
        path = getattr(item.media, "path", None)
        if path:
            found = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
            return found if is_image(found) and Path(found).is_file() else None
        return self._written(item) if self._folder is not None and item.media is not None else None

    def _written(self, item: Any) -> str | None:
        assert self._folder is not None
        key = fingerprint_of([str(item.subset), str(item.id)])
        target = self._folder / key[:2] / f"{key}.png"
        if not target.is_file():
            pixels = _pixels(item.media)
            if pixels is None:
                return None
            with files.whole_file(target) as partial:
                Image.fromarray(pixels).save(partial)
        self.written += 1
        return str(target)


def _pixels(media: Any) -> np.ndarray[Any, Any] | None:
    """``(H, W)`` or ``(H, W, 3) uint8`` RGB; ``None`` if the item has no picture.

    Datumaro returns blue, green, red; it decodes only on demand.
    """
    data = getattr(media, "data", None)
    if data is None:
        return None
    pixels = np.asarray(data)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        pixels = pixels[..., 2::-1]
    return np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8))
