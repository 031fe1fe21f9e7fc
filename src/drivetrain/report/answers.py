"""Pictures of predictions: one, a series, or several on one sheet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.frames import FrameReader
from drivetrain.machine import files
from drivetrain.report.drawing import draw, image_of
from drivetrain.report.save import SUFFIXES, write_picture
from drivetrain.types import Prediction

_SHEET_WIDTH = 1600
_GROUND = (245, 245, 247)


def draw_prediction(
    item: Prediction, image: Any = None, *, min_score: float = 0.0, opacity: float = 0.45
) -> NDArray[np.uint8]:
    """Draw an answer on its image, ``(H, W, 3) uint8`` RGB; see :meth:`drivetrain.types.Prediction.draw`."""
    return draw(image_of(item, image), item, min_score=min_score, opacity=opacity)


def draw_predictions(
    items: Iterable[Prediction], *, min_score: float = 0.0, opacity: float = 0.45
) -> Iterator[NDArray[np.uint8]]:
    """Draw answers one after another; only one image is in memory at a time."""
    frames = FrameReader()
    for item in items:
        yield draw(image_of(item, frames=frames), item, min_score=min_score, opacity=opacity)


def save_prediction(item: Prediction, path: str | Path, image: Any = None) -> Path:
    """Write an answer as a picture or as JSON, by its suffix; see :meth:`drivetrain.types.Prediction.save`."""
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if suffix == ".json":
        files.write_text(target, item.to_json(indent=2) + "\n")
    elif suffix not in SUFFIXES:
        raise DataError(f"path={str(path)!r} must end in {', '.join(SUFFIXES)} (a picture) or .json (the answer).")
    elif item.path and os.path.abspath(target) == os.path.abspath(item.path):  # noqa: PTH100  (no links are followed)
        raise DataError(f"the picture would replace its image {item.path!r}; choose another path.")
    else:
        write_picture(draw_prediction(item, image), target)
    return target


def sheet(pictures: Sequence[NDArray[np.uint8]], *, width: int = _SHEET_WIDTH) -> NDArray[np.uint8]:
    """Pictures in rows on one sheet, each in a cell of the same width, scaled down to fit but never enlarged.

    Args:
        pictures: ``(H, W, 3) uint8`` RGB, at least one.
        width: maximum width of the sheet in pixels.
    """
    from PIL import Image

    columns = min(len(pictures), 3 if len(pictures) > 4 else 2)
    gap = 8
    cell = (width - gap * (columns + 1)) // columns
    images = [Image.fromarray(picture) for picture in pictures]
    for image in images:
        image.thumbnail((cell, 4 * cell))
    cell = max(image.width for image in images)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [max(image.height for image in row) for row in rows]
    page = Image.new("RGB", (columns * (cell + gap) + gap, sum(heights) + gap * (len(rows) + 1)), _GROUND)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            page.paste(image, (gap + column * (cell + gap), top))
        top += height + gap
    return np.asarray(page)
