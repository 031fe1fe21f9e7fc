"""Images in memory as files in the user's cache, named by their content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drivetrain.data.cache_entries import mark_used
from drivetrain.errors import DataError
from drivetrain.images.file import NoImage, open_image
from drivetrain.machine import files
from drivetrain.machine.files import cache_dir


def stored_image(image: Any, where: str, group: str = "") -> str:
    """The absolute path of a file with the image; an image that is already a file stays where it is.

    Args:
        image: a path, the bytes of a file, ``{"path": ..., "bytes": ...}``, a Pillow image, or an array or tensor of
            ``(H, W)``, ``(H, W, 3)`` or ``(3, H, W)``, uint8 of 0 to 255 or float of 0 to 1, RGB.
        where: a description of the image, for messages.
        group: a name of the source, whose images are stored together; ``""`` if it has none.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(image, Mapping) and {"path", "bytes"} & image.keys():
        image = image.get("bytes") or image.get("path")
    if isinstance(image, str | Path):
        return str(Path(image).absolute())
    if isinstance(image, bytes):
        return _written(image, _suffix(image, where), group)
    if isinstance(image, Image.Image):
        picture = image
    else:
        picture = Image.fromarray(_pixels(image, where))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return _written(buffer.getvalue(), ".png", group)


def _written(content: bytes, suffix: str, group: str) -> str:
    key = hashlib.blake2b(content, digest_size=16).hexdigest()
    target = cache_dir() / "pictures" / (group or key[:2]) / f"{key}{suffix}"
    if target.is_file():
        mark_used(target.parent)
    else:
        with files.whole_file(target) as partial:
            partial.write_bytes(content)
    return str(target)


def _suffix(content: bytes, where: str) -> str:
    try:
        with open_image(io.BytesIO(content)) as image:
            return f".{(image.format or 'png').lower()}"
    except NoImage as error:
        raise DataError(f"{where} contains bytes that are not an image: {error}.") from error


def _pixels(image: Any, where: str) -> np.ndarray[Any, Any]:
    try:
        pixels = np.asarray(image.numpy() if hasattr(image, "numpy") else image)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} has an image of the type {type(image).__name__}, which cannot be read.") from error
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise DataError(
            f"{where} has an image of the shape {tuple(pixels.shape)} and type {type(image).__name__}; allowed are "
            "(height, width), (height, width, 3) and (3, height, width)."
        )
    if pixels.dtype.kind == "f":
        if float(pixels.min()) < 0 or float(pixels.max()) > 1:
            raise DataError(f"{where} has values outside 0 to 1, as after normalisation; give the images before it.")
        pixels = (pixels * 255).round()
    return np.ascontiguousarray(pixels.astype(np.uint8))
