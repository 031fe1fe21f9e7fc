"""Reading text files in any common encoding, with or without a byte order mark."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from drivetrain.errors import DataFormatError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_GLANCE = 1 << 20  # bytes


def read_text(path: Path) -> str:
    """Decode a file by its byte order mark, else as UTF-8, UTF-16 if every other byte is 0, or Windows-1252.

    Raises:
        OSError: it cannot be read.
    """
    return decoded(path.read_bytes())


def read_json(path: str | Path) -> Any:
    """The content of a JSON file in any common encoding.

    Raises:
        DataFormatError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_text(Path(path)))
    except (ValueError, OSError, RecursionError) as error:
        raise DataFormatError(f"{path} is not valid JSON: {error}.") from error


def has_words(path: Path, *words: str) -> bool:
    """Whether all words occur near the beginning of a file: a quick test that avoids parsing most files."""
    try:
        with path.open("rb") as file:
            text = decoded(file.read(_GLANCE))
    except OSError:
        return False
    return all(word in text for word in words)


def decoded(content: bytes) -> str:
    """The text of these bytes; see :func:`read_text`."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    wide = _wide(content)
    if wide is not None:
        return content.decode(wide, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _wide(content: bytes) -> str | None:
    """Decode as UTF-16 without a mark if the first characters look like it."""
    start = content[:64]
    if len(start) < 4 or 0 not in start:
        return None
    even, odd = start[0::2], start[1::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None
