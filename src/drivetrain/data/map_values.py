"""The pixel values of class maps, and class maps with other values rewritten as files of class numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivetrain.data.class_maps import derived_map
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError
from drivetrain.images.file import NoImage, open_image
from drivetrain.machine import files

MOST_VALUES = 256
_HALF = 128
_WITHOUT_ALPHA = {"LA": "L", "PA": "P", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}


@dataclass(frozen=True, slots=True)
class MapValues:
    """The pixel values of a class map.

    Attributes:
        values: numbers, or colours as ``red << 16 | green << 8 | blue``; at most ``MOST_VALUES + 1`` of them.
        coloured: whether they are colours; grey pixels count as numbers.
        has_channels: whether the file has more than one channel and must be rewritten to be a class map.
    """

    values: frozenset[int]
    coloured: bool
    has_channels: bool


def read_values(paths: Sequence[str]) -> list[MapValues | None]:
    """The values of each file; ``None`` for one that cannot be read, which the checks of the data set report."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_values_of, paths))


def _values_of(path: str) -> MapValues | None:
    try:
        pixels = _pixels(path)
    except DataError:
        return None
    if pixels.ndim == 2:
        return MapValues(_few(pixels), coloured=False, has_channels=_is_wide_colour(path))
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        return MapValues(_few(pixels[..., 0]), coloured=False, has_channels=True)
    return MapValues(_few(_codes(pixels)), coloured=True, has_channels=True)


def _few(pixels: NDArray[np.generic]) -> frozenset[int]:
    found = np.unique(pixels)
    return frozenset(int(value) for value in found[: MOST_VALUES + 1])


def _pixels(path: str) -> NDArray[np.generic]:
    """``(H, W)`` numbers or palette indices, or ``(H, W, 3)`` colours.

    In files with three channels of 16 bits, as in SYNTHIA, the first has the numbers; Pillow would keep 8 bits of each.
    """
    if _is_wide_colour(path):
        return _first_of_wide(path)
    try:
        with open_image(path) as image:
            target = _WITHOUT_ALPHA.get(image.mode)
            return np.asarray(image.convert(target) if target else image)
    except FileNotFoundError as error:
        raise DataError(f"the mask {path!r} does not exist.") from error
    except NoImage as error:
        raise DataError(f"the mask {path!r} cannot be read: {error}.") from error


def _is_wide_colour(path: str) -> bool:
    """Whether it is a PNG file with several channels of 16 bits."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(26)
    except OSError:  # reported by whoever reads the pixels
        return False
    return start[1:4] == b"PNG" and start[24:26] in (b"\x10\x02", b"\x10\x06")


def _first_of_wide(path: str) -> NDArray[np.generic]:
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"the mask {path!r} cannot be read.")
    return np.asarray(pixels[..., 2])  # blue, green, red


def _codes(pixels: NDArray[np.generic]) -> NDArray[np.int64]:
    wide = pixels.astype(np.int64)
    return np.asarray((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2])


def renumbered(path: str, numbers: Mapping[int, int], *, coloured: bool = False, halved: bool = False) -> str:
    """Write a class map with other numbers, once; returns the path of the file in the user's cache.

    Args:
        path: the class map.
        numbers: value -> class number, for every value in the file.
        coloured: whether the values are colours, as in :class:`MapValues`.
        halved: whether pixels from 128 on are the value 255 and the others 0.

    Raises:
        DataError: the file cannot be read.
    """
    stat = Path(path).stat()
    key = fingerprint_of(
        [path, str(stat.st_size), str(stat.st_mtime_ns), str(sorted(numbers.items())), str((coloured, halved))]
    )
    target = derived_map(path, key)
    if target.is_file():
        return str(target)
    pixels = _pixels(path)
    if coloured:
        values = _codes(pixels) if pixels.ndim == 3 else pixels.astype(np.int64) * 0x10101
    else:
        values = (pixels[..., 0] if pixels.ndim == 3 else pixels).astype(np.int64)
    if halved:
        values = np.where(values >= _HALF, 255, 0)
    found, inverse = np.unique(values, return_inverse=True)
    table = np.array([numbers[int(value)] for value in found], np.uint8)
    with files.whole_file(target) as partial:
        Image.fromarray(table[inverse].reshape(values.shape)).save(partial)
    return str(target)
