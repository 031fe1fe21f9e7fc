"""Sizes of many image files from their headers, with a cheap test for truncated files."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from drivetrain.data.quick_header import quick_size
from drivetrain.images.file import NoImage, orientation_of, reading, stored_size

_CHUNK = 256
_HEAD = 8192
_TAIL = 4096
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_MARKS = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
MISSING = "does not exist"


@dataclass(frozen=True, slots=True)
class Header:
    """The contents of an image file's header.

    Attributes:
        size: ``(height, width)`` of the upright image.
        orientation: from EXIF, 1 to 8; from 5 on the stored image lies on its side.
        mark: the length of the file and a checksum of its end; equal files have equal marks.
    """

    size: tuple[int, int]
    orientation: int = 1
    mark: tuple[int, int] = (0, 0)

    @property
    def stored_size(self) -> tuple[int, int]:
        """``(height, width)`` before the image is turned upright."""
        return self.size[::-1] if self.orientation >= 5 else self.size


def read_headers(paths: Sequence[str]) -> list[Header | str]:
    """The header of each file, or the reason why the file is unusable as an image."""
    if len(paths) <= _CHUNK:
        return [read_header(path) for path in paths]
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor() as pool:
        return [header for part in pool.map(lambda chunk: [read_header(p) for p in chunk], chunks) for header in part]


def read_header(path: str) -> Header | str:
    """The header of one file, or the reason why it is unusable as an image.

    A file without the end mark of its format is decoded once to see whether it is complete.
    """
    try:
        length, head, tail = _ends(path)
        if (size := quick_size(head, tail)) is not None:
            return Header(size, 1, (length, zlib.crc32(tail)))
        with open(path, "rb") as file, reading(path):  # noqa: PTH123
            image = Image.open(file)
            width, height = stored_size(image)
            orientation = _orientation(image, tail)
            if not tail.endswith(_ENDS.get(image.format or "", b"")):
                file.seek(0)
                Image.open(file).load()
    except FileNotFoundError:
        return MISSING
    except NoImage as error:
        return f"cannot be read as an image: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return Header((width, height) if orientation >= 5 else (height, width), orientation, (length, zlib.crc32(tail)))


def _orientation(image: Image.Image, tail: bytes) -> int:
    """The EXIF orientation; only checked on images that seem to have one, because reading it may decode them."""
    if not (_MARKS & image.info.keys() or image.format == "TIFF" or (image.format == "PNG" and b"eXIf" in tail)):
        return 1
    return orientation_of(image)


def _ends(path: str) -> tuple[int, bytes, bytes]:
    """The length of a file, its first bytes and its last; a small file has been read completely with its head.

    Called for each image: a descriptor is a third faster than a file object.
    """
    file = os.open(path, _READ)
    try:
        head = os.read(file, _HEAD)
        if len(head) < _HEAD:
            return len(head), head, head[-_TAIL:]
        length = os.lseek(file, 0, os.SEEK_END)
        os.lseek(file, max(length - _TAIL, 0), os.SEEK_SET)
        return length, head, os.read(file, _TAIL)
    finally:
        os.close(file)
