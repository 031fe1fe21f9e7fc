"""Pages from templates: escaped text, sections and tables, and writing the file atomically."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from drivetrain._version import __version__
from drivetrain.machine import files

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL import Image

#: The longest word in which a browser may not break a line.
_LONGEST = 24
_NUMBER = re.compile(r"[-+]?\d[\d,.]*(e[-+]?\d+)?( ?(%|ms|s|MB|GB|images/s))?( \(.*\))?|\N{EN DASH}|")
_TOKEN = re.compile(rf"\S{{{_LONGEST + 1},}}")
_PIECE = re.compile(rf".{{1,{_LONGEST}}}")
_AFTER = re.compile(r"(?<=[/\\_.,:=-])")


def text(value: object) -> str:
    """The escaped text, without control characters, which are not allowed in a page."""
    return escape(_allowed(str(value)))


def _allowed(value: str) -> str:
    kept = "".join(c for c in value if c in "\t\n" or (c >= " " and not "\x7f" <= c <= "\x9f"))
    return kept.encode("utf-8", "replace").decode("utf-8")


def breakable(value: object) -> str:
    """The escaped text, in which lines may break after separators of long words such as paths, but in no other word."""
    parts, last, allowed = [], 0, _allowed(str(value))
    for found in _TOKEN.finditer(allowed):
        parts += [escape(allowed[last : found.start()]), _with_breaks(found[0])]
        last = found.end()
    return "".join([*parts, escape(allowed[last:])])


def _with_breaks(token: str) -> str:
    pieces = [piece for segment in _AFTER.split(token) for piece in _PIECE.findall(segment)]
    return "<wbr/>".join(escape(piece) for piece in pieces)


@dataclass(frozen=True, slots=True)
class TableView:
    """A table of strings.

    Attributes:
        header: the names of the columns.
        rows: the cells; the first of a row is its name.
        numeric: for each column whether it is one of numbers, which are aligned on the right with their header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Self:
        """A table; the columns of numbers are found by their cells."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        numeric = [
            place > 0 and any(cell for cell in column) and all(_NUMBER.fullmatch(cell) for cell in column)
            for place, column in enumerate(columns)
        ]
        return cls(list(header), [list(row) for row in rows], numeric)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drivetrain.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters["breakable"] = breakable
    return environment


def _finalized(value: Any) -> Any:
    """A value of a template, without characters that are not allowed in a page."""
    return value if not isinstance(value, str) or hasattr(value, "__html__") else _allowed(value)


def part(name: str, *arguments: Any, **options: Any) -> str:
    """A part of a page as HTML, by the macro of that name in ``parts.html``."""
    return str(getattr(_environment().get_template("parts.html").module, name)(*arguments, **options))


def section(title: str, body: str, name: str = "", kind: str = "") -> str:
    """A section with a headline; empty if it has no content.

    Args:
        title: the headline.
        body: HTML.
        name: that links lead to.
        kind: a class of the style sheet.
    """
    return part("section", title, body, id=name, kind=kind) if body else ""


def notes(title: str, lines: Sequence[str]) -> str:
    """A section of remarks; empty if there are none."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return section(title, f"<ul>{items}</ul>" if items else "", name=title.lower(), kind="notes")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, sortable: bool = False, tall: bool = False) -> str:
    """A table of strings in a frame that scrolls; the first cell of a row is its name.

    Args:
        header: the names of the columns.
        rows: the cells.
        sortable: a click on a header sorts.
        tall: the frame has a limited height.
    """
    return part("table", TableView.of(header, rows), sortable=sortable, frame="tall" if tall else "wide")


def fact_list(values: Mapping[str, object]) -> str:
    """Names and values in a row, below the headline of a page; those that are ``None`` are left out."""
    return part("facts", [(name, str(value)) for name, value in values.items() if value is not None])


def picture_uri(image: Image.Image, quality: int) -> str:
    """A picture as a data URI of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return jpeg_uri(buffer.getvalue())


def small_picture(pixels: NDArray[np.uint8], width: int, quality: int = 86) -> str:
    """``(H, W, 3) uint8`` RGB as a data URI, scaled down to a width, and to twice that as its height."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
    return picture_uri(image, quality)


def jpeg_uri(data: bytes) -> str:
    """A JPEG as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def write_page(
    path: str | Path, *, title: str, summary: str, sections: Sequence[str], template: str = "page.html", **more: Any
) -> Path:
    """Write a self-contained page.

    Args:
        path: the HTML file; its folder is created if needed.
        title: the headline.
        summary: HTML below the headline.
        sections: HTML of each section.
        template: of the page.
        more: what else the template shows.

    Returns:
        The file.
    """
    document = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            summary=summary,
            sections=[item for item in sections if item],
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            **more,
        )
    )
    target = Path(path)
    files.write_text(target, document.rstrip() + "\n")
    return target
