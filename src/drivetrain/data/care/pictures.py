"""A single pass over the pictures: each is decoded once and reduced to a few small features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.care.descriptors import (
    SIZE,
    colour_of_small,
    describe_small,
    grey_of,
    hash_of,
    shrink,
    thumbnail,
    tones_of,
)
from drivetrain.errors import DataError
from drivetrain.images.frames import frame_of, shared_reader
from drivetrain.images.read import read_shrunken
from drivetrain.machine.resources import core_count

#: Pictures per task of a thread.
_CHUNK = 16
#: Pixels of the shorter side that suffice for describing a picture by 64 x 64.
_ENOUGH = 96


@dataclass(slots=True, eq=False)
class Pictures:
    """What is known about each picture; the rows of unreadable ones are zero.

    Attributes:
        reasons: why a picture cannot be read; ``""`` for readable ones.
        sizes: ``(N, 2) int32`` height, width.
        hashes: ``(N, 2) uint64``, 128 bits; similar pictures differ in few of them.
        thumbnails: ``(N, 32, 32) uint8`` grey.
        colours: ``(N, 3) float32`` mean red, green, blue, 0..255.
        tones: ``(N, 5) float32`` mean, standard deviation, 2nd and 98th percentile of the brightness, and the mean
            saturation, 0..255.
        descriptors: ``(N, D) float16`` of the whole picture.
        objects: ``(M, D) float16`` of its objects, in order; zero for objects that are too small or too many.
    """

    reasons: list[str]
    sizes: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    colours: NDArray[np.float32]
    tones: NDArray[np.float32]
    descriptors: NDArray[np.float16]
    objects: NDArray[np.float16]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """``(N,)`` whether each picture could be read."""
        return np.array([not reason for reason in self.reasons], np.bool_)


@dataclass(slots=True, eq=False)
class _Picture:
    reason: str = ""
    size: tuple[int, int] = (0, 0)
    #: hash, thumbnail, colour and descriptor
    seen: tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.float32], NDArray[np.float16]] | None = None
    tone: tuple[float, ...] = (0.0,) * 5
    objects: NDArray[np.float16] | None = None


def look_at_pictures(
    paths: Sequence[str],
    boxes: Sequence[NDArray[np.float32]] | None = None,
    *,
    workers: int | None = None,
    step: Callable[[int], None] | None = None,
) -> Pictures:
    """Decode every picture once, in threads.

    Args:
        paths: files, or frames of videos.
        boxes: the boxes of the objects to describe on each picture, ``(n, 4)`` xyxy; none if not given.
        workers: the number of threads; one per core if not given.
        step: called with the number of pictures processed since its last call.
    """
    items = list(zip(paths, boxes if boxes is not None else [_NO_BOXES] * len(paths), strict=True))
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    found: list[_Picture] = []
    for part in _mapped(chunks, workers or core_count()):
        found += part
        if step is not None:
            step(len(part))
    return _as_columns(found)


_NO_BOXES = np.zeros((0, 4), np.float32)


def _mapped(chunks: Sequence[list[tuple[str, NDArray[np.float32]]]], workers: int) -> Iterator[list[_Picture]]:
    if workers < 2 or len(chunks) < 2:
        yield from map(_look_at_all, chunks)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(_look_at_all, chunks)


def _look_at_all(items: Sequence[tuple[str, NDArray[np.float32]]]) -> list[_Picture]:
    return [_look_at(path, boxes) for path, boxes in items]


def _look_at(path: str, boxes: NDArray[np.float32]) -> _Picture:
    try:
        pixels, size = _pixels_of(path, whole=bool(len(boxes)))
    except DataError as error:
        return _Picture(reason=str(error), objects=np.zeros((len(boxes), SIZE), np.float16))
    small = shrink(pixels)
    grey = grey_of(small)
    thumb = thumbnail(grey)
    return _Picture(
        "",
        size,
        (hash_of(thumb), thumb, colour_of_small(small), describe_small(small, grey)),
        tones_of(small, grey),
        _describe_objects(pixels, boxes),
    )


def _pixels_of(path: str, *, whole: bool) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The picture, unless ``whole`` a large one at a smaller scale, and its full height and width."""
    if whole or frame_of(path) is not None:
        pixels = shared_reader().read(path)
        return pixels, (pixels.shape[0], pixels.shape[1])
    return read_shrunken(path, _ENOUGH)


def _describe_objects(pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float16]:
    """Describe each object by the pixels in its box; boxes below two pixels stay zero."""
    height, width = pixels.shape[:2]
    found = np.zeros((len(boxes), SIZE), np.float16)
    corners = np.stack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).reshape(-1, 4).astype(np.int64)
    for index, (left, top, right, bottom) in enumerate(corners.tolist()):
        crop = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if min(crop.shape[:2]) >= 2:
            small = shrink(crop)
            found[index] = describe_small(small, grey_of(small))
    return found


def _as_columns(found: Sequence[_Picture]) -> Pictures:
    count = len(found)
    columns = Pictures(
        [item.reason for item in found],
        np.array([item.size for item in found], np.int32).reshape(count, 2),
        np.zeros((count, 2), np.uint64),
        np.zeros((count, 32, 32), np.uint8),
        np.zeros((count, 3), np.float32),
        np.array([item.tone for item in found], np.float32).reshape(count, 5),
        np.zeros((count, SIZE), np.float16),
        np.concatenate([np.zeros((0, SIZE), np.float16), *(o for item in found if (o := item.objects) is not None)]),
    )
    for row, item in enumerate(found):
        if item.seen is not None:
            columns.hashes[row], columns.thumbnails[row], columns.colours[row], columns.descriptors[row] = item.seen
    return columns
