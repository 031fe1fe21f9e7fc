"""Pictures whose pixels are the numbers of instances, as run-length masks of objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.read_record import Record
from drivetrain.errors import DataError
from drivetrain.images import rle as run_length
from drivetrain.images.file import NoImage, open_image


def read_pixels(path: str) -> NDArray[np.generic]:
    """``(H, W)`` or ``(H, W, C)`` pixels as stored in the file.

    Raises:
        DataError: the file does not exist or cannot be read.
    """
    try:
        with open_image(path) as image:
            return np.asarray(image)
    except FileNotFoundError as error:
        raise DataError(f"the map {path!r} does not exist.") from error
    except NoImage as error:
        raise DataError(f"the map {path!r} cannot be read: {error}.") from error


def add_instances(record: Record, pixels: NDArray[Any], labels: Iterable[tuple[int, int]]) -> None:
    """Add an object for each instance of a map.

    Args:
        record: the record of the image; its existing objects stay.
        pixels: ``(H, W)`` the instance number of each pixel.
        labels: instance number -> label; an instance without pixels is left out.
    """
    boxes, box_labels, rles = record.boxes or [], record.box_labels or [], record.rles or []
    for instance, label in labels:
        shown = pixels == instance
        if shown.any():
            rle = run_length.encode_mask(shown)
            boxes += run_length.box_of(rle)
            box_labels.append(label)
            rles.append(rle)
    record.boxes, record.box_labels, record.rles = boxes, box_labels, rles or None
