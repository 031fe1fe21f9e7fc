"""Showing predictions: as HTML in a notebook, or in the system's picture viewer."""

from __future__ import annotations

import importlib
import io
import os
import sys
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, DrivetrainError, UnsupportedError, either
from drivetrain.images.frames import FrameReader
from drivetrain.report._html import jpeg_uri
from drivetrain.report.answers import draw_prediction, draw_predictions, sheet
from drivetrain.report.drawing import draw, image_of
from drivetrain.types import Prediction, Predictions, Task
from drivetrain.types.summary import count_classes, counts_in_words, summary_of, truth_in_words

_SHOWN = 8
_WIDTH = 720
_SMALL_WIDTH = 320
_MOST_CLASSES = 12
_MOST_SKIPPED = 5
_FIGURE = "margin:0 12px 12px 0;display:inline-block;vertical-align:top;max-width:100%"
_CAPTION = "font-size:85%;overflow-wrap:anywhere;max-width:{width}px"


def prediction_html(item: Prediction) -> str:
    """One answer as HTML: its picture with path and summary, or the reason why there is no picture."""
    return _figure(item, 0, FrameReader(), width=_WIDTH, truth="")


def predictions_html(items: Predictions) -> str:
    """Many answers as HTML: a summary, counts by class, the first pictures, and what was skipped."""
    frames = FrameReader()
    figures = [
        _figure(item, number, frames, width=_SMALL_WIDTH, truth=_truth(items, item))
        for number, item in enumerate(items[:_SHOWN])
    ]
    more = len(items) - _SHOWN
    rest = f"<p>… and {more} more; <code>predictions[{_SHOWN}:]</code> shows the next ones.</p>" if more > 0 else ""
    skipped = "".join(f"<li>{escape(path)}: {escape(reason)}</li>" for path, reason in items.skipped[:_MOST_SKIPPED])
    if len(items.skipped) > _MOST_SKIPPED:
        skipped += f"<li>… and {len(items.skipped) - _MOST_SKIPPED} more</li>"
    left_out = f"<p>Skipped, {len(items.skipped)} in all:</p><ul>{skipped}</ul>" if skipped else ""
    return f"<div><p>{escape(_headline(items))}</p>{_counts(items)}<div>{''.join(figures)}</div>{rest}{left_out}</div>"


def show(shown: Prediction | Predictions, image: Any = None) -> None:
    """Show one picture, or the first pictures of a series on one sheet.

    Args:
        shown: one answer or several.
        image: the image of a prediction that has neither a file nor a kept image.

    Raises:
        DataError: there is nothing to draw, or no image to draw on.
        UnsupportedError: there is no notebook, no screen or no viewer.
    """
    if isinstance(shown, Prediction):
        picture = draw_prediction(shown, image)
    elif len(shown):
        picture = sheet(list(draw_predictions(shown[:_SHOWN])))
    else:
        raise DataError("There are no predictions to show.")
    if _in_notebook():
        output = importlib.import_module("IPython.display")
        output.display(output.Image(data=encoded(picture, picture.shape[1])))
        return
    _open_viewer(picture)


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this program; an IPython shell cannot show pictures."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _open_viewer(picture: NDArray[np.uint8]) -> None:
    from PIL import Image, ImageShow

    has_screen = sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if not has_screen or not ImageShow.show(Image.fromarray(picture), "drivetrain"):
        raise UnsupportedError(
            "There is no screen, or no picture viewer, to show a picture. Write it to a file: "
            + either("prediction.save('answer.jpg')", "--save_images")
            + "."
        )


def _headline(items: Predictions) -> str:
    images = "1 image" if len(items) == 1 else f"{len(items)} images"
    return f"{images}, {items.task.value}"


def _counts(items: Predictions) -> str:
    """The counts by class as a table of two rows."""
    found = [(name, count) for name, count in items.class_counts().items() if count]
    if not found or items.task is Task.DEPTH:
        return ""
    found.sort(key=lambda pair: -pair[1])
    shown, more = found[:_MOST_CLASSES], len(found) - _MOST_CLASSES
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in shown) + ("<th>…</th>" if more > 0 else "")
    row = "".join(f"<td>{count}</td>" for _, count in shown)
    row += f"<td>{more} more classes</td>" if more > 0 else ""
    what = "objects" if items.task.has_objects else "images"
    return f"<table><tr><th></th>{head}</tr><tr><td>{what}</td>{row}</tr></table>"


def _truth(items: Predictions, item: Prediction) -> str:
    """The annotations of the image in a few words; empty if there are none."""
    sample = items.truth.get(item.path) if items.truth is not None else None
    return "" if sample is None or items.truth is None else truth_in_words(sample, items.truth.label_names)


def _figure(item: Prediction, number: int, frames: FrameReader, *, width: int, truth: str) -> str:
    caption = f"<b>{escape(item.path or f'image {number}')}</b><br>{escape(_answer(item))}"
    if truth:
        caption += f"<br>truth: {escape(truth)}"
    style = _CAPTION.format(width=width)
    try:
        picture = draw(image_of(item, frames=frames), item)
    except DrivetrainError as error:
        caption += f"<br>no picture: {escape(str(error))}"
        return f'<figure style="{_FIGURE}"><figcaption style="{style}">{caption}</figcaption></figure>'
    image = f'<img src="{jpeg_uri(encoded(picture, width))}" alt="{escape(summary_of(item))}" style="max-width:100%">'
    return f'<figure style="{_FIGURE}">{image}<figcaption style="{style}">{caption}</figcaption></figure>'


def _answer(item: Prediction) -> str:
    """The answer in words, with objects only counted, as the picture shows which is which."""
    if item.labels is not None and len(item.labels) > 1 and item.probabilities is None:
        return counts_in_words(count_classes(item))
    return summary_of(item)


def encoded(picture: NDArray[np.uint8], width: int) -> bytes:
    """The picture as JPEG, scaled down if it is wider than this."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((width, 4 * width))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
