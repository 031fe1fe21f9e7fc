"""The parts of every page: escaped text, sections and tables, and writing the file atomically."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from drivetrain.machine import files
from drivetrain.report._sorting import SCRIPT
from drivetrain.report._style import STYLE

if TYPE_CHECKING:
    from PIL import Image


def text(value: object) -> str:
    """The escaped text, without control characters, which are not allowed in a page."""
    kept = "".join(c for c in str(value) if c in "\t\n" or (c >= " " and not "\x7f" <= c <= "\x9f"))
    return escape(kept.encode("utf-8", "replace").decode("utf-8"))


def section(title: str, body: str) -> str:
    """A section with a headline; empty if it has no content."""
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, sortable: bool = False) -> str:
    """A table of strings; the first cell of a row is its name. A sortable one is sorted by a click on a header."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>{"".join(f"<td>{text(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def fact_list(values: Mapping[str, object]) -> str:
    """Names and values in a row, below the headline of a page; those that are ``None`` are left out."""
    known = {name: value for name, value in values.items() if value is not None}
    items = "".join(f"<li><span>{text(name)}</span> <b>{text(value)}</b></li>" for name, value in known.items())
    return f'<ul class="facts">{items}</ul>'


def picture_uri(image: Image.Image, quality: int) -> str:
    """A picture as a data URI of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return jpeg_uri(buffer.getvalue())


def jpeg_uri(data: bytes) -> str:
    """A JPEG as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def write_page(path: str | Path, *, title: str, summary: str, sections: Sequence[str]) -> Path:
    """Write a self-contained page.

    Args:
        path: the HTML file; its folder is created if needed.
        title: the headline.
        summary: HTML below the headline.
        sections: HTML of each section.

    Returns:
        The file.
    """
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = "".join(sections)
    script = f"<script>{SCRIPT}</script>" if 'class="sortable"' in body else ""
    document = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>"
        f'<body><header><p class="brand">drivetrain</p><h1>{text(title)}</h1>{summary}</header>'
        f"<main>{body}</main><footer>written {written}</footer>"
        f"{script}</body></html>\n"
    )
    target = Path(path)
    files.write_text(target, document)
    return target
