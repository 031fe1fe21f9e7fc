"""Explanations to look at: drawn next to their images, in files and as HTML for a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, DrivetrainError
from drivetrain.images.frames import FrameReader
from drivetrain.machine import files
from drivetrain.report._canvas import BAD, Canvas, colour_of, strip
from drivetrain.report._html import jpeg_uri
from drivetrain.report.drawing import beside, image_of, lay_heat
from drivetrain.report.notebook import encoded
from drivetrain.report.save import SUFFIXES, picture_files, write_picture
from drivetrain.types.explanation import Explanation, Explanations

_MAPS = ".npz"
_SHOWN = 8
_MOST_SKIPPED = 5
_WIDTH = 720
_METHODS = {
    "cam": "class activation map",
    "rise": "by random masks (RISE)",
    "map": "the model's own anomaly map",
}


def draw_explanation(
    item: Explanation, image: Any = None, *, opacity: float = 0.6, frames: FrameReader | None = None
) -> NDArray[np.uint8]:
    """Draw a map over its image; see :meth:`drivetrain.types.explanation.Explanation.draw`.

    Args:
        item: the explanation.
        image: the image, if it need not be read again.
        opacity: the opacity of the map at its maximum.
        frames: reads the files.

    Raises:
        DataError: there is no image, or its size differs.
    """
    pixels = image_of(item, image, frames=frames)
    if pixels.shape[:2] != tuple(item.size):
        raise DataError(f"the image is {pixels.shape[:2]} pixels, but the explanation is for {tuple(item.size)}.")
    canvas = Canvas(pixels)
    lay_heat(canvas, item.saliency, opacity)
    colour = BAD if item.label is None else colour_of(item.label)
    if item.box is not None:
        x1, y1, x2, y2 = item.box
        canvas.polygon(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), colour)
    picture = beside(canvas.enlarge(pixels), canvas.finished(), canvas.line * 2)
    text = f"{item.what}, {_METHODS.get(item.method, item.method)}"
    band = strip(picture.shape[1], [(colour, text, item.score)], canvas.font_size)
    return np.concatenate([picture, band])


def draw_explanations(items: Iterable[Explanation], *, opacity: float = 0.6) -> Iterator[NDArray[np.uint8]]:
    """Draw explanations one after the other; one image is in memory at a time."""
    frames = FrameReader()
    for item in items:
        yield draw_explanation(item, opacity=opacity, frames=frames)


def save_explanation(item: Explanation, path: str | Path, image: Any = None) -> Path:
    """Write one picture; see :meth:`drivetrain.types.explanation.Explanation.save`."""
    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise DataError(f"path={str(path)!r} must end in {', '.join(SUFFIXES)}.")
    if item.path and os.path.abspath(target) == os.path.abspath(item.path):  # noqa: PTH100  (no links are followed)
        raise DataError(f"the picture would replace its image {item.path!r}; choose another path.")
    write_picture(draw_explanation(item, image), target)
    return target


def save_explanations(items: Explanations, path: str | Path) -> Path:
    """Write pictures into a folder, or the maps into a file; see :meth:`Explanations.save`."""
    target = Path(path).expanduser()
    if target.suffix.lower() == _MAPS:
        _save_maps(items, target)
        return target
    if target.suffix.lower() in SUFFIXES or target.is_file():
        raise DataError(f"path={str(path)!r} must be a folder (drawn pictures) or end in {_MAPS} (the maps).")
    frames = FrameReader()
    for item, file in zip(items, picture_files([item.path for item in items], target, ".jpg"), strict=True):
        write_picture(draw_explanation(item, frames=frames), file)
    return target


def _save_maps(items: Explanations, target: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {f"map_{number}": item.saliency for number, item in enumerate(items)}
    arrays["paths"] = np.array([item.path for item in items], np.str_)
    arrays["labels"] = np.array([-1 if item.label is None else item.label for item in items], np.int64)
    arrays["scores"] = np.array([np.nan if item.score is None else item.score for item in items], np.float32)
    with files.whole_file(target) as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub takes the names for options


def explanation_html(item: Explanation) -> str:
    """One explanation as HTML: its picture with path and what is explained."""
    return _figure(item, FrameReader())


def explanations_html(items: Explanations) -> str:
    """Many explanations as HTML: the first pictures, and what was skipped."""
    frames = FrameReader()
    figures = "".join(_figure(item, frames) for item in items[:_SHOWN])
    more = len(items) - _SHOWN
    rest = f"<p>… and {more} more; <code>explanations[{_SHOWN}:]</code> shows the next ones.</p>" if more > 0 else ""
    skipped = "".join(f"<li>{escape(path)}: {escape(reason)}</li>" for path, reason in items.skipped[:_MOST_SKIPPED])
    left_out = f"<p>Skipped, {len(items.skipped)} in all:</p><ul>{skipped}</ul>" if skipped else ""
    images = "1 image" if len(items) == 1 else f"{len(items)} images"
    return f"<div><p>{images} explained, {items.task.value}</p><div>{figures}</div>{rest}{left_out}</div>"


def _figure(item: Explanation, frames: FrameReader) -> str:
    caption = f"<b>{escape(item.path or 'image')}</b><br>{escape(item.what)}"
    try:
        picture = draw_explanation(item, frames=frames)
    except DrivetrainError as error:
        return f"<figure><figcaption>{caption}<br>no picture: {escape(str(error))}</figcaption></figure>"
    image = f'<img src="{jpeg_uri(encoded(picture, _WIDTH))}" alt="{escape(item.what)}" style="max-width:100%">'
    return (
        '<figure style="margin:0 12px 12px 0;display:inline-block;vertical-align:top;max-width:100%">'
        f"{image}<figcaption>{caption}</figcaption></figure>"
    )
