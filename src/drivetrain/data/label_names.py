"""Comparing label names: which are the same name, and which may be two spellings of one class."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def composed(name: str) -> str:
    """The name normalised to NFC, so that its equivalent Unicode forms compare equal."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name without case and without variants of Unicode and white space."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split()).replace("_", "").replace("-", "")


def alike_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Different names that differ only in case, white space or the form of a letter, each with the first such name."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(folded(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs
