"""The annotations of a sample as pixels, rasterised one image at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.types import Sample

IGNORED = 255
"""The class number of pixels that are excluded from training and metrics."""

# Pillow modes that are neither plain numbers nor plain colours -> the mode without the extra channel
_WITHOUT_ALPHA = {"RGBA": "RGB", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LA": "L", "La": "L", "PA": "P"}

Rings = Sequence[NDArray[np.float32]]


def has_pixel_truth(sample: Sample) -> bool:
    """Whether the sample says which of its pixels are annotated: by a mask, by objects, or by being declared normal."""
    return sample.anomalous is False or sample.mask_path is not None or object_count(sample) > 0


def rasterise(sample: Sample) -> NDArray[np.bool_]:
    """Everything annotated in the image (the defect, for anomaly data) as one ``(H, W)`` mask in its original size.

    The mask file is used if there is one (every pixel above 0), else the union of the objects. An image declared
    normal, or one without annotations, gives an empty mask; :func:`has_pixel_truth` tells them apart.

    Raises:
        DataNotFoundError: the mask file does not exist.
        DataError: the mask file cannot be read or differs in size from the image, or an annotation is malformed.
    """
    if sample.anomalous is False:
        return np.zeros(sample.size, np.bool_)
    if sample.mask_path is not None:
        pixels = read_mask(sample.mask_path, sample.size)
        return cast("NDArray[np.bool_]", pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0)
    union = np.zeros(sample.size, np.bool_)
    for index in range(object_count(sample)):
        union |= object_mask(sample, index)
    return union


def class_map(sample: Sample, *, background: int = IGNORED) -> NDArray[np.int64]:
    """The class of each pixel, ``(H, W)`` in the original size.

    The mask file is used if there is one (its pixel values, or palette indices, are the classes), else the objects,
    painted in order, so that later ones cover earlier ones.

    Args:
        sample: the annotated image.
        background: the class of pixels outside all objects; only used without a mask file.

    Raises:
        DataNotFoundError: the mask file does not exist.
        DataError: the mask file cannot be read, differs in size or holds colours, or an annotation is malformed.
    """
    if sample.mask_path is not None:
        pixels = read_mask(sample.mask_path, sample.size)
        if pixels.ndim == 3:
            raise DataError(
                f"the mask {sample.mask_path!r} holds colours; a class map needs one channel with class numbers "
                "(or a palette). Convert the colours to numbers first."
            )
        return pixels.astype(np.int64)
    classes = np.full(sample.size, background, np.int64)
    labels = sample.box_labels
    for index in range(object_count(sample)):
        if labels is None or index >= len(labels):
            raise DataError(f"object {index} of {sample.path!r} has no label, which a class map needs.")
        classes[object_mask(sample, index)] = labels[index]
    return classes


def object_count(sample: Sample) -> int:
    """How many objects are annotated, by whichever of boxes, polygons and run lengths is present."""
    return max((len(part) for part in (sample.boxes, sample.polygons, sample.rles) if part is not None), default=0)


def has_outline(sample: Sample, index: int) -> bool:
    """Whether the object has run lengths or a polygon, so that its mask is more precise than its box."""
    return _rle(sample, index) is not None or bool(rings_of(sample, index))


def rings_of(sample: Sample, index: int) -> tuple[NDArray[np.float32], ...]:
    """The rings of the object's polygon that enclose an area (three points or more)."""
    if sample.polygons is None or index >= len(sample.polygons):
        return ()
    return tuple(ring for ring in sample.polygons[index] if len(ring) >= 3)


def object_mask(sample: Sample, index: int) -> NDArray[np.bool_]:
    """One object as ``(H, W)``: from its run lengths, else from its polygon, else from its box.

    Raises:
        DataError: the object has none of them, or the run lengths do not fit the image.
    """
    rle = _rle(sample, index)
    if rle is not None:
        mask = decode_rle(rle)
        if mask.shape != tuple(sample.size):
            raise DataError(
                f"the run lengths of object {index} of {sample.path!r} are of a {mask.shape} image, not {sample.size}."
            )
        return mask
    rings = rings_of(sample, index)
    if rings:
        return fill_polygon(rings, sample.size)
    if sample.boxes is None or index >= len(sample.boxes):
        raise DataError(f"object {index} of {sample.path!r} has neither run lengths, nor a polygon, nor a box.")
    x1, y1, x2, y2 = (float(value) for value in sample.boxes[index])
    return fill_polygon([np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)], sample.size)


def object_masks(sample: Sample) -> NDArray[np.bool_]:
    """Every object as ``(N, H, W)``; see :func:`object_mask`."""
    masks = [object_mask(sample, index) for index in range(object_count(sample))]
    return np.stack(masks) if masks else np.zeros((0, *sample.size), np.bool_)


def fill_polygon(rings: Rings, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centre lies inside any of the rings (each by the even-odd rule).

    Args:
        rings: each ``(K, 2)`` xy in pixels; parts outside the image are clipped.
        size: ``(height, width)`` of the mask.

    Returns:
        ``(height, width)`` mask.
    """
    height, width = size
    filled = np.zeros(size, np.bool_)
    for ring in rings:
        start = np.asarray(ring, np.float64)
        if len(start) < 3 or not np.isfinite(start).all():
            continue
        end = np.roll(start, -1, axis=0)
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        # the rows whose centre y + 0.5 is crossed by an edge
        first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
        last = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)
        top, bottom = int(first.min()), int(last.max())
        if top >= bottom:
            continue
        counts = last - first
        edges = np.repeat(np.arange(len(start)), counts)
        rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
        slope = (end[edges, 0] - start[edges, 0]) / (end[edges, 1] - start[edges, 1])
        crossing = start[edges, 0] + (rows + 0.5 - start[edges, 1]) * slope
        columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        toggles = np.zeros((bottom - top, width + 1), np.uint8)
        np.add.at(toggles, (rows - top, columns), 1)
        filled[top:bottom] |= (np.cumsum(toggles[:, :width], axis=1, dtype=np.uint8) & 1).astype(np.bool_)
    return filled


def decode_rle(rle: dict[str, object]) -> NDArray[np.bool_]:
    """A COCO run-length dict, compressed or not, as ``(height, width)``.

    Raises:
        DataError: ``size`` or ``counts`` is missing, or the counts do not add up to the size.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, Sequence) or len(size) != 2 or counts is None:
        raise DataError("run lengths need 'size' (height, width) and 'counts'.")
    height, width = (int(value) for value in size)
    if isinstance(counts, str):
        counts = counts.encode("ascii", errors="replace")
    runs = _uncompress(counts) if isinstance(counts, bytes) else np.asarray(counts, np.int64)
    if (runs.size and runs.min() < 0) or runs.sum() != height * width:
        raise DataError(f"the run lengths add up to {runs.sum()} pixels, but the image has {height} x {width}.")
    values = (np.arange(len(runs)) % 2).astype(np.bool_)
    return np.repeat(values, runs).reshape((height, width), order="F")


def _uncompress(text: bytes) -> NDArray[np.int64]:
    """Decode COCO's text form into counts.

    Each number is a sequence of characters that carry five bits each, lowest first, offset by ``"0"``; bit 6 says that
    more follow, and the highest bit of the last one is the sign. From the third run on, the difference to the run two
    places earlier is stored.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        chunk = character - 48
        value |= (chunk & 31) << shift
        shift += 5
        if chunk & 32:
            continue
        if chunk & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return np.array(runs, np.int64)


def read_mask(path: str, size: tuple[int, int]) -> NDArray[np.integer] | NDArray[np.bool_]:
    """The pixels of a mask file: ``(H, W)`` numbers or palette indices, or ``(H, W, 3)`` colours.

    Args:
        path: any image file Pillow reads.
        size: ``(height, width)`` of the image it belongs to.

    Raises:
        DataNotFoundError: the file does not exist.
        DataError: it cannot be read, or differs in size.
    """
    from drivetrain.images.file import NoImage, open_image

    try:
        with open_image(path) as image:
            target = _WITHOUT_ALPHA.get(image.mode)
            pixels = np.asarray(image.convert(target) if target else image)
    except FileNotFoundError:
        raise DataNotFoundError(f"the mask {path!r} does not exist.") from None
    except NoImage as error:
        raise DataError(f"the mask {path!r} cannot be read: {error}.") from error
    if pixels.shape[:2] != tuple(size):
        raise DataError(f"the mask {Path(path).name!r} is {pixels.shape[:2]} pixels, but its image is {tuple(size)}.")
    return pixels


def _rle(sample: Sample, index: int) -> dict[str, object] | None:
    if sample.rles is None or index >= len(sample.rles):
        return None
    return sample.rles[index]
