"""Reading image files: the only place where a file becomes an upright RGB ``uint8`` array.

Training and prediction both read through :func:`read_image`, so both see the same pixels: JPEG files are decoded by
OpenCV, everything else by Pillow, except 16-bit files, which go through OpenCV because Pillow drops their low byte.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.images.file import SWAPPING_ORIENTATIONS, NoImage, open_image, orientation_of, reading, stored_size

if TYPE_CHECKING:
    from PIL.Image import Image

_TYPES = "a path, bytes, an array (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16, or a PIL image"

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}
)
"""Lower-case suffixes of the files in a folder that :func:`read_image` reads."""

_TIFF_BITS_TAG = 258
_JPEG = b"\xff\xd8\xff"
_SCALES = (8, 4, 2)  # of libjpeg
_PNG = b"\x89PNG\r\n\x1a\n"


def read_image(source: str | Path | bytes | NDArray[Any] | Image) -> NDArray[np.uint8]:
    """Read an image in the form used throughout drivetrain.

    The EXIF orientation is applied, alpha is composited on black, grey becomes RGB, 16-bit values are scaled from
    their full range, and only the first frame of an animation is read. Arrays are assumed to be RGB.

    Args:
        source: a file, the bytes of a file, an array, or a PIL image.

    Returns:
        ``(H, W, 3) uint8`` RGB, contiguous. An array already in this form is returned unchanged.

    Raises:
        DataNotFoundError: the file does not exist.
        ImageError: the image is unreadable, truncated or has pixels without a known range.
    """
    if isinstance(source, np.ndarray):
        return _rgb(source, "array")
    if isinstance(source, (str, Path)):
        return _decode(_read_bytes(source), str(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "bytes")
    if type(source).__module__.startswith("PIL.") or hasattr(source, "getexif"):
        return _read_pil(source, str(getattr(source, "filename", "")) or "PIL image")
    raise ImageError(f"an image of type {type(source).__name__!r} cannot be read. Give {_TYPES}.")


def read_shrunken(path: str | Path, least: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image file for a rough look: a large JPEG at half, a quarter or an eighth of its size, which is faster.

    A damaged file is noticed as by :func:`read_image`: its data are decoded to the end in any case.

    Args:
        path: the file.
        least: the sides of the result are not smaller than this, in pixels, unless those of the file are.

    Returns:
        ``(H, W, 3) uint8`` RGB, and the height and width of the file's own image when upright.

    Raises:
        DataNotFoundError: the file does not exist.
        ImageError: the image is unreadable, truncated or has pixels without a known range.
    """
    data, name = _read_bytes(path), str(path)
    if data[:3] != _JPEG:
        pixels = _decode(data, name)
        return pixels, (pixels.shape[0], pixels.shape[1])
    height, width = _upright_size(io.BytesIO(data), name)
    scale = next((part for part in _SCALES if min(width, height) // part >= least), 1)
    return _decode_jpeg(data, name, scale), (height, width)


def image_size(path: str | Path) -> tuple[int, int]:
    """``(height, width)`` of the upright image, read from the header alone.

    Raises:
        DataNotFoundError: the file does not exist.
        ImageError: the file is not an image.
    """
    try:
        return _upright_size(path, str(path))
    except FileNotFoundError:
        raise DataNotFoundError(f"the image {str(path)!r} does not exist.") from None


def _upright_size(file: str | Path | io.BytesIO, name: str) -> tuple[int, int]:
    try:
        with open_image(file) as image:
            width, height = stored_size(image)
            swap = orientation_of(image) in SWAPPING_ORIENTATIONS
    except NoImage as error:
        raise ImageError(f"{name!r} is not a readable image: {error}.") from error
    return (width, height) if swap else (height, width)


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataNotFoundError(f"the image {str(path)!r} does not exist.") from None
    except OSError as error:
        raise ImageError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _decode(data: bytes, name: str) -> NDArray[np.uint8]:
    if data[:3] == _JPEG:
        return _decode_jpeg(data, name)
    if data[:8] == _PNG:
        _check_png(data, name)
    try:
        with open_image(io.BytesIO(data)) as image:
            if _is_16_bit(image, data):
                return _decode_16_bit(data, image, name)
            return _from_pil(image, name)
    except NoImage as error:
        raise ImageError(f"{name!r} is not a readable image: {error}.") from error


def _check_png(data: bytes, name: str) -> None:
    """Verify a PNG's own checksums, which Pillow does not do for the pixels.

    Raises:
        ImageError: a checksum is wrong, so the pixels are not those that were saved.
    """
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 8 + length
        whole, needed = end + 4 <= len(data), kind[:1].isupper()  # text and time chunks do not affect the pixels
        if whole and needed and zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            part = kind.decode("ascii", "replace")
            raise ImageError(f"{name!r} is damaged: the checksum of its chunk {part} is wrong.")
        at = end + 4


def _decode_jpeg(data: bytes, name: str, scale: int = 1) -> NDArray[np.uint8]:
    """Decode JPEG with OpenCV: the same underlying library as Pillow's, but without its copies.

    Args:
        data: the file.
        name: of the file, for messages.
        scale: divides the sides: 1, 2, 4 or 8.
    """
    import cv2

    orientation = 1
    has_exif = b"Exif\0\0" in data or b"Orientation" in data
    whole = data.endswith(b"\xff\xd9")
    if has_exif or not whole:
        orientation = _inspect_jpeg(data, name, load=not whole)
    reduced = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | reduced.get(scale, 0)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"{name!r} is not a readable image: {error.err}.") from error
    if pixels is None:
        raise ImageError(f"{name!r} is not a readable image: the JPEG data is broken.")
    return _turn_upright(pixels, orientation)


def _inspect_jpeg(data: bytes, name: str, *, load: bool) -> int:
    """The EXIF orientation; with ``load``, also check that the data is complete, which OpenCV does not report."""
    try:
        with open_image(io.BytesIO(data)) as image:
            if load:
                image.load()
            return orientation_of(image)
    except NoImage as error:
        raise ImageError(f"{name!r} is not a readable image: {error}.") from error


def _is_16_bit(image: Image, data: bytes) -> bool:
    if image.mode.startswith("I;16"):
        return True
    if image.format == "PNG":
        return len(data) > 24 and data[24] == 16  # the bit depth in the IHDR chunk
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_TAG, (8,))
        return 16 in (bits if isinstance(bits, tuple) else (bits,))
    return False


def _decode_16_bit(data: bytes, image: Image, name: str) -> NDArray[np.uint8]:
    """Decode files with two bytes per channel; ``image`` provides the header."""
    import cv2

    orientation = orientation_of(image)
    image.load()  # raises if the data is truncated
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError(f"{name!r} is not a readable image: the 16-bit data cannot be decoded.")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        order = [2, 1, 0, 3][: pixels.shape[2]]
        pixels = pixels[:, :, order]
    return _turn_upright(_rgb(pixels, name), orientation)


def _read_pil(image: Image, name: str) -> NDArray[np.uint8]:
    try:
        with reading(name):
            return _from_pil(image, name)
    except NoImage as error:
        raise ImageError(f"{name!r} is not a readable image: {error}.") from error


def _from_pil(image: Image, name: str) -> NDArray[np.uint8]:
    image.load()
    orientation = orientation_of(image)  # after loading: Pillow turns TIFF files upright itself
    if image.mode.startswith("I;16"):
        return _turn_upright(_rgb(np.asarray(image).astype(np.uint16), name), orientation)
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{name!r} has pixels of mode {image.mode!r}, whose range is not known. Convert it to 8 or 16 bits first."
        )
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
    elif image.mode == "RGB":
        pixels = np.asarray(image)
    else:
        pixels = np.asarray(image.convert("RGB"))
    return _turn_upright(_rgb(pixels, name), orientation)


def _turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation == 1:
        return pixels
    if orientation in SWAPPING_ORIENTATIONS:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _rgb(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Any supported array as ``(H, W, 3) uint8``."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise ImageError(f"{name!r} has the shape {pixels.shape}; allowed: (H, W), (H, W, 3) and (H, W, 4).")
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8:
        raise ImageError(f"{name!r} has the dtype {pixels.dtype}; allowed: uint8, uint16, bool. Scale it first.")
    if channels in (2, 4):
        colour, alpha = pixels[:, :, :-1].astype(np.uint16), pixels[:, :, -1:].astype(np.uint16)
        pixels = ((colour * alpha + 127) // 255).astype(np.uint8)
        channels -= 1
    if channels == 1:
        grey = pixels.reshape(pixels.shape[0], pixels.shape[1], 1)
        pixels = np.broadcast_to(grey, (*grey.shape[:2], 3))
    return np.ascontiguousarray(pixels, dtype=np.uint8)
