"""Text files as people have them: of any usual encoding, with or without a byte order mark."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file: by its byte order mark, else UTF-8, else UTF-16 if every other byte is 0, else Windows-1252.

    Raises:
        OSError: it cannot be read.
    """
    return decoded(path.read_bytes())


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
    """UTF-16 without a mark, if the first characters look like it."""
    start = content[:64]
    if len(start) < 4 or 0 not in start:
        return None
    even, odd = start[0::2], start[1::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None
