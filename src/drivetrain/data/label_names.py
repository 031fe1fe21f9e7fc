"""Names of labels compared: which are one name, and which may be two spellings of one class."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def composed(name: str) -> str:
    """A name in the one form in which Unicode's forms of it are equal."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name without its case and without what Unicode and blanks can write in several ways."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split()).replace("_", "").replace("-", "")


def alike_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Different names that differ in case, blanks or the form of a letter alone, each with the first of its kind."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(folded(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs
