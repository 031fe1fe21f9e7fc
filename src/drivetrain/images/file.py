"""Image files opened with Pillow: the one place that knows what Pillow raises for a file that is not an image.

Besides Pillow's own errors this can be an ImportError, if another package has registered a codec or opener.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from drivetrain.errors import DrivetrainError

_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "__pycache__"})

SWAPPING_ORIENTATIONS = frozenset({5, 6, 7, 8})
"""The EXIF orientations of images that are stored sideways."""

_MOST_PIXELS = 1024**3 // 4 // 3  # Pillow's own limit: a quarter of a gigabyte at three bytes each
_ORIENTATION_TAG = 0x0112
_WIDTH_TAG, _HEIGHT_TAG = 256, 257
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, ImportError, Image.DecompressionBombError)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or was left behind by an operating system or an editor."""
    return name.startswith(".") or name in _LITTER


def is_too_large(size: tuple[int, int]) -> bool:
    """Whether an image of this ``(height, width)`` has more pixels than Pillow opens without objecting.

    Some packages lift Pillow's limit for the whole process; its usual limit holds then.
    """
    return size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or _MOST_PIXELS)


class NoImage(Exception):
    """The file is not an image, or not a complete one; the text is the reason."""


@contextmanager
def reading(source: object = None) -> Iterator[None]:
    """Turn whatever Pillow raises in the block for unreadable pixels into :class:`NoImage`.

    Args:
        source: the file, whose path is then omitted from the reason.

    Raises:
        FileNotFoundError: there is no such file.
        NoImage: it cannot be read.
    """
    try:
        yield
    except (FileNotFoundError, DrivetrainError):
        raise
    except UnidentifiedImageError as error:
        raise NoImage("its content is not in a known image format") from error
    except _ERRORS as error:
        raise NoImage(_reason(error, source)) from error


@contextmanager
def open_image(source: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    """The opened image; its pixels are decoded on first access.

    Raises:
        FileNotFoundError: there is no such file.
        NoImage: it cannot be read, either on opening or within the ``with`` block.
    """
    with reading(source), Image.open(source) as image:
        yield image


def stored_size(image: Image.Image) -> tuple[int, int]:
    """``(width, height)`` as stored; for a TIFF file stored sideways, Pillow swaps them by itself."""
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return int(tags.get(_WIDTH_TAG, image.width)), int(tags.get(_HEIGHT_TAG, image.height))
    return image.size


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) if it is missing or invalid."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):  # a broken EXIF block does not spoil the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _reason(error: Exception, source: object) -> str:
    text = str(error).strip().rstrip(".")
    if isinstance(source, (str, Path)):
        text = text.replace(repr(str(source)), "the file").replace(str(source), "the file")
    return text or type(error).__name__
