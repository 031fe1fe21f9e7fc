"""Coloured class maps as files of class numbers, in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError, DataFormatError
from drivetrain.images.file import NoImage, open_image
from drivetrain.machine import files
from drivetrain.machine.files import cache_dir

IGNORED = 255
_RIM = (224 << 16) | (224 << 8) | 192  # the colour of object borders in VOC


def is_coloured(path: str) -> bool:
    """Whether the pixels of a mask are colours rather than numbers."""
    try:
        with open_image(path) as image:
            return image.mode in ("RGB", "RGBA")
    except (FileNotFoundError, NoImage):  # reported by whoever reads the pixels
        return False


def derived_map(path: str, key: str) -> Path:
    """Where the map made from a mask is stored: all masks of one folder share a folder, and are removed together."""
    return cache_dir() / "class_maps" / fingerprint_of([os.path.dirname(path)]) / f"{key}.png"  # noqa: PTH120


def as_class_map(path: str, numbers: Mapping[tuple[int, int, int], int]) -> str:
    """Write the mask with class numbers instead of colours; returns the path of the file.

    Raises:
        DataError: the mask cannot be read.
        DataFormatError: a colour has no number.
    """
    stat = Path(path).stat()
    key = fingerprint_of([path, str(stat.st_size), str(stat.st_mtime_ns), str(sorted(numbers.items()))])
    target = derived_map(path, key)
    if target.is_file():
        return str(target)
    try:
        with open_image(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.int64)
    except NoImage as error:
        raise DataError(f"the mask {path!r} cannot be read: {error}.") from error
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    known = {(r << 16) | (g << 8) | b: number for (r, g, b), number in numbers.items()}
    known.setdefault(_RIM, IGNORED)
    found, inverse = np.unique(codes, return_inverse=True)
    unknown = [int(code) for code in found if int(code) not in known]
    if unknown:
        colour = (unknown[0] >> 16, (unknown[0] >> 8) & 255, unknown[0] & 255)
        raise DataFormatError(f"{path} has pixels of the colour {colour}, which belongs to no class.")
    table = np.array([known[int(code)] for code in found], np.uint8)
    with files.whole_file(target) as partial:
        Image.fromarray(table[inverse].reshape(codes.shape)).save(partial)
    return str(target)


def voc_colours() -> list[tuple[int, int, int]]:
    """The 256 colours of VOC: the bits of the number go to red, green and blue in turn, highest first."""
    colours = []
    for number in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                if number >> (3 * bit + channel) & 1:
                    channels[channel] |= 128 >> bit
        colours.append((channels[0], channels[1], channels[2]))
    return colours


def union_of_masks(paths: Sequence[str]) -> str:
    """Write the union of several masks of an image as one mask; returns the path of the file.

    Raises:
        DataError: a mask cannot be read, or they differ in size.
    """
    stats = [Path(path).stat() for path in paths]
    key = fingerprint_of(f"{p}\0{s.st_size}\0{s.st_mtime_ns}" for p, s in zip(paths, stats, strict=True))
    target = derived_map(paths[0], key)
    if target.is_file():
        return str(target)
    marked = [_marked(path) for path in paths]
    if len({pixels.shape for pixels in marked}) > 1:
        raise DataError(f"the masks of one image differ in size: {', '.join(paths[:3])}.")
    union = np.any(marked, axis=0)
    with files.whole_file(target) as partial:
        Image.fromarray(union.astype(np.uint8) * 255).save(partial)
    return str(target)


def _marked(path: str) -> NDArray[np.bool_]:
    try:
        with open_image(path) as image:
            pixels = np.asarray(image)
    except NoImage as error:
        raise DataError(f"the mask {path!r} cannot be read: {error}.") from error
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0)
