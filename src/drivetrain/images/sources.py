"""Image sources: anything given as images, expanded into a series of items that are read one at a time.

Folders are searched recursively, except for hidden entries; videos in them are read frame by frame. In a series, a
path that cannot be read becomes an item that raises when it is read.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, DataNotFoundError, ImageError
from drivetrain.images.file import is_hidden
from drivetrain.images.live import is_live, live_frames
from drivetrain.images.path_column import is_table, path_column
from drivetrain.images.read import IMAGE_SUFFIXES, read_image
from drivetrain.images.threads import run_ordered
from drivetrain.machine.resources import core_count

VIDEO_SUFFIXES: frozenset[str] = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})

_HELD = (str, Path, bytes, bytearray, list, tuple)
_COLOURS = 3
_ALLOWED = (
    "an image (file, array, torch tensor, PIL image, bytes), a folder, a glob, a video, a camera (camera:0), the "
    "address of a stream, a series of these, a table of pandas or polars with a column 'path', or a drivetrain data set"
)


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One image that has not been read yet.

    Attributes:
        path: where it comes from (``""`` for arrays, ``video.mp4#12`` for frame 12 of a video).
        read: returns the ``(H, W, 3) uint8`` RGB pixels; raises ImageError or DataNotFoundError.
        given: the image itself, if it was passed in memory: array, PIL image or bytes; or the frame of a live source.
        timestamp: seconds, of a frame of a video from its start, of a live source since 1970; ``None`` for others.
    """

    path: str
    read: Callable[[], NDArray[np.uint8]]
    given: Any = None
    timestamp: float | None = None


def expand_source(source: Any) -> Iterator[SourceItem]:
    """The images of a source, in order; folders recursively, sorted by name.

    Raises:
        DataNotFoundError: a path does not exist, or a glob matches nothing.
        DataError: a folder or series has no images, or the source is of an unsupported type.
    """
    if isinstance(source, str) and not source.strip():
        raise DataNotFoundError(f"source={source!r} is empty; is a variable unset? Allowed: {_ALLOWED}.")
    items = _expand(source)
    first = next(items, None)
    if first is None:
        raise DataError(f"source={_describe(source)} has no images. Allowed: {_ALLOWED}.")
    return _chain(first, items)


def is_held(source: Any) -> bool:
    """Whether in-memory images of the source stay in memory anyway: it is an image, an array or a list of them.

    Any other iterable (a generator, a camera, a loader) may create its images on demand.
    """
    if is_live(source):
        return False
    return not isinstance(source, Iterable) or isinstance(source, _HELD) or hasattr(source, "__array__")


def decode(
    source: Any,
    *,
    strict: bool = False,
    skipped: list[tuple[str, str]] | None = None,
    workers: int | None = None,
    kept: list[Any] | None = None,
    times: list[float | None] | None = None,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The images of a source, decoded ahead in threads, in order and in bounded memory.

    Args:
        source: see :func:`expand_source`.
        strict: raise for an image that cannot be read.
        skipped: without ``strict``, ``(path, reason)`` of each unreadable image is appended here.
        workers: number of threads; one per core by default.
        kept: for each image yielded, the in-memory object it came from is appended here, or ``None``.
        times: for each image yielded, the time of its frame in seconds is appended here, or ``None``.

    Yields:
        ``(path, (H, W, 3) uint8 RGB)``.

    Raises:
        DataError: there are no images.
        ImageError: an image cannot be read and ``strict`` is set.
    """
    workers = workers or core_count()
    for path, image, given, timestamp in run_ordered(
        expand_source(source), lambda: _Decoder(strict), workers=workers, window=4 * workers
    ):
        if isinstance(image, str):
            if skipped is not None:
                skipped.append((path, image))
        else:
            if kept is not None:
                kept.append(given)
            if times is not None:
                times.append(timestamp)
            yield path, image


def require_readable(answers: Sized, skipped: Sequence[tuple[str, str]]) -> None:
    """Refuse a source none of whose images could be read: an empty answer would look like success.

    Raises:
        ImageError: the message names the first file and what is wrong with it.
    """
    if len(answers) or not skipped:
        return
    path, reason = skipped[0]
    if len(skipped) == 1:
        raise ImageError(f"The only image of the source cannot be read: {with_path(path, reason)}")
    raise ImageError(
        f"None of the {len(skipped)} images of the source can be read; the first: {with_path(path, reason)}"
    )


def with_path(path: str, reason: str) -> str:
    """The reason why an image cannot be read, with its path, which most reasons already contain."""
    return reason if not path or path in reason else f"{path}: {reason}"


def read_or_reason(item: SourceItem, *, strict: bool) -> NDArray[np.uint8] | str:
    """The pixels of an item, or the reason why they cannot be read.

    Raises:
        DataError: with ``strict``: the image cannot be read or does not exist.
    """
    try:
        return item.read()
    except DataError as error:
        if strict:
            raise
        return str(error)


#: The path of an image, its pixels or why they cannot be read, the in-memory object it came from, and its time.
_Decoded = tuple[str, NDArray[np.uint8] | str, Any, float | None]


class _Decoder:
    """The worker of :func:`decode`."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def submit(self, number: int, item: SourceItem) -> Iterable[tuple[int, _Decoded]]:
        return [(number, (item.path, read_or_reason(item, strict=self._strict), item.given, item.timestamp))]

    def drain(self) -> Iterable[tuple[int, _Decoded]]:
        return []


def _chain(first: SourceItem, rest: Iterator[SourceItem]) -> Iterator[SourceItem]:
    yield first
    yield from rest


def _expand(source: Any) -> Iterator[SourceItem]:
    if isinstance(source, (str, Path)):
        yield from _from_live(source) if is_live(source) else _expand_path(source)
    elif isinstance(source, np.ndarray) or _is_tensor(source):
        pixels = source if isinstance(source, np.ndarray) else _pixels_of(source)
        yield from map(_in_memory, pixels if pixels.ndim == 4 else [pixels])
    elif isinstance(source, (bytes, bytearray)) or hasattr(source, "getexif"):
        yield _in_memory(source)
    elif callable(getattr(source, "read", None)):
        yield _from_open(source)
    elif isinstance(path := getattr(source, "path", None), (str, Path)) and not isinstance(source, Iterable):
        yield _from_file(path)
    elif is_table(source):
        yield from _expand(path_column(source))
    elif isinstance(source, Iterable) and not isinstance(source, dict):
        for item in source:
            yield from _expand_item(item)
    else:
        raise DataError(f"source={_describe(source)} holds no images that could be read. Allowed: {_ALLOWED}.")


def _from_live(source: str | Path) -> Iterator[SourceItem]:
    for name, pixels, at in live_frames(source):
        yield SourceItem(name, partial(np.asarray, pixels), pixels, at)


def _expand_item(item: Any) -> Iterator[SourceItem]:
    """One element of a series: a plain image path is not opened until it is read."""
    if not isinstance(item, (str, Path)):
        return iter([item]) if isinstance(item, SourceItem) else _expand(item)
    if not str(item).strip():
        empty = DataNotFoundError(f"source={str(item)!r} is empty; is a variable unset?")
        return iter([SourceItem(str(item), partial(_refuse, empty))])
    if Path(item).suffix.lower() in IMAGE_SUFFIXES and not glob.has_magic(str(item)):
        return iter([_from_file(item)])
    return _or_why_not(item, _expand_path(item))


def _or_why_not(path: str | Path, items: Iterator[SourceItem]) -> Iterator[SourceItem]:
    """The items of a path within a series; if it has none, one item that raises the reason when it is read."""
    try:
        yield from items
    except DataError as error:
        yield SourceItem(str(path), partial(_refuse, error))


def _refuse(error: DataError) -> NDArray[np.uint8]:
    raise error


def _expand_path(source: str | Path) -> Iterator[SourceItem]:
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(_in_folder(path))
        if not files:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            raise DataError(f"the folder {str(source)!r} has no images or videos ({suffixes}).")
        for file in files:
            is_video = file.suffix.lower() in VIDEO_SUFFIXES
            yield from _or_why_not(file, _frames(file)) if is_video else iter([_from_file(file)])
    elif path.is_file():
        yield from _frames(path) if path.suffix.lower() in VIDEO_SUFFIXES else iter([_from_file(path)])
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not matches:
            raise DataNotFoundError(f"the glob {str(source)!r} matches no file.")
        for match in matches:
            known = Path(match).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
            if known and Path(match).is_file():
                yield from _or_why_not(match, _expand_path(match))
    else:
        raise DataNotFoundError(f"source={str(source)!r} does not exist. Give an image, a folder, a glob or a video.")


def _in_folder(folder: Path) -> Iterator[Path]:
    """The image and video files below a folder, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            path = Path(place, name)
            if path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not is_hidden(name) and path.is_file():
                yield path


def _is_tensor(source: Any) -> bool:
    return any(f"{cls.__module__}.{cls.__qualname__}" == "torch.Tensor" for cls in type(source).__mro__)


def _pixels_of(tensor: Any) -> NDArray[np.uint8]:
    """The pixels of a torch tensor, with the channels last.

    Raises:
        DataError: it does not hold pixels of 0 to 255; input normalised for one model would give wrong answers.
    """
    shape = "x".join(map(str, tensor.shape))
    if str(tensor.dtype) != "torch.uint8":
        raise DataError(
            f"source is a tensor {shape} of {tensor.dtype}; a tensor must hold the RGB pixels 0..255 as torch.uint8, "
            "as (3, H, W), (H, W, 3) or a batch of these. Multiply values 0..1 by 255 and round them first."
        )
    pixels: NDArray[np.uint8] = tensor.detach().cpu().numpy()
    if pixels.ndim not in (3, 4) or _COLOURS not in (pixels.shape[-1], pixels.shape[-3]):
        raise DataError(f"source is a tensor {shape}; allowed: (3, H, W), (H, W, 3) or a batch of these.")
    return pixels if pixels.shape[-1] == _COLOURS else np.moveaxis(pixels, -3, -1)


def _from_file(path: str | Path) -> SourceItem:
    if str(path).startswith("~"):
        path = Path(path).expanduser()
    return SourceItem(str(path), lambda: read_image(path))


def _in_memory(image: Any) -> SourceItem:
    return SourceItem(str(getattr(image, "filename", "") or ""), lambda: read_image(image), image)


def _from_open(file: Any) -> SourceItem:
    """An open file, or what is read like one.

    Raises:
        DataError: it gives text.
    """
    content, name = file.read(), getattr(file, "name", "")
    if not isinstance(content, bytes):
        raise DataError(f"source={name or _describe(file)} gives {type(content).__name__} when it is read, not bytes.")
    return SourceItem(name if isinstance(name, str) else "", lambda: read_image(content), content)


def _frames(path: Path) -> Iterator[SourceItem]:
    """The frames of a video, decoded one after another."""
    import cv2

    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise ImageError(f"{str(path)!r} is not a readable video.")
        number = 0
        while True:
            found, frame = video.read()
            if not found:
                break
            pixels = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            yield SourceItem(f"{path}#{number}", partial(np.asarray, pixels), timestamp=_seconds(video, number))
            number += 1
        if number == 0:
            raise ImageError(f"{str(path)!r} is a video without a readable frame.")
    finally:
        video.release()


def _seconds(video: Any, number: int) -> float | None:
    """When the frame that was just read is shown, in seconds from the start of its video; ``None`` if unknown."""
    import cv2

    at, rate = video.get(cv2.CAP_PROP_POS_MSEC) / 1e3, video.get(cv2.CAP_PROP_FPS)
    if at > 0:
        return float(at)
    return number / rate if rate > 0 else None


def _describe(source: Any) -> str:
    plain = isinstance(source, (str, Path, list, tuple, int, float))
    text = repr(source) if plain else f"<{type(source).__name__}>"
    return text if len(text) < 80 else f"<{type(source).__name__}>"
