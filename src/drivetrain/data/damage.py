"""Damaged annotations: what is wrong, how often, the first places, and what was done about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivetrain.errors import DataFormatError
from drivetrain.images import rle as run_length

_SHOWN = 3
_RING = 6  # numbers of a triangle


class Damage:
    """Collects what is wrong with the annotations of a data set.

    Args:
        strict: make the first fault an error.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Record a fault.

        Args:
            kind: a plural predicate that says what was done about it: "have no box and were left out".
            place: the file and the annotation.

        Raises:
            DataFormatError: with ``strict``.
        """
        if self._strict:
            raise DataFormatError(
                f"strict=True: annotations {kind}; the first: {place}. Repair it, or load without strict."
            )
        self._places.setdefault(kind, []).append(place)

    def notes(self) -> Iterator[str]:
        """One line for each kind."""
        for kind, places in self._places.items():
            more = ", ..." if len(places) > _SHOWN else ""
            yield f"{len(places)} annotations {kind}: {', '.join(places[:_SHOWN])}{more}."


def numbers(values: Any) -> list[float] | None:
    """The values as finite floats; ``None`` if they are not a series of these."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return None
    found = [number(value) for value in values]
    return None if None in found else [value for value in found if value is not None]


def number(value: Any) -> float | None:
    """The value as a finite float; ``None`` if it is not one."""
    if isinstance(value, bool | bytes) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def box_of(value: Any, damage: Damage, place: str) -> tuple[float, float, float, float] | None:
    """The corners of a box ``[x, y, width, height]``; ``None`` if it is damaged."""
    found = numbers(value)
    if found is None or len(found) != 4 or not math.isfinite(sum(map(abs, found))):
        damage.add("have a box that is not four finite numbers; it was left out", place)
        return None
    x, y, width, height = found
    if width < 0 or height < 0:
        damage.add("have a box of negative width or height; it was left out", place)
        return None
    return x, y, x + width, y + height


def rings_of(value: Any, damage: Damage, place: str) -> list[list[float]]:
    """The rings of a polygon segmentation, each ``x, y, x, y, ...``; a flat list is one ring."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        damage.add("have an outline that is neither a list nor a mask; it was left out", place)
        return []
    if value and not any(isinstance(part, Sequence | Mapping) for part in value):
        damage.add("have one polygon without the list around it; it is read as one polygon", place)
        value = [value]
    rings = []
    for part in value:
        ring = numbers(part)
        if ring is None:
            damage.add("have a polygon that is not a list of finite numbers; it was left out", place)
        elif len(ring) < _RING or len(ring) % 2:
            damage.add(
                "have a polygon of an odd number of values, or of fewer than three points; it was left out", place
            )
        else:
            rings.append(ring)
    return rings


def mask_of(
    value: Mapping[str, Any], size: tuple[int, int] | None, damage: Damage, place: str
) -> dict[str, object] | None:
    """A run-length mask with its counts as text; ``None`` if it is damaged.

    Args:
        value: ``{"size": [height, width], "counts": ...}``.
        size: of its image as stated in the annotations, if it is.
        damage: records faults.
        place: the place of the annotation.
    """
    try:
        mask = run_length.canonical(value)
        height, width = (int(side) for side in value["size"])
        counts = run_length.counts_of(mask)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, UnicodeDecodeError):
        damage.add("have a mask that cannot be read; it was left out", place)
        return None
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        damage.add("have a mask whose run lengths do not cover its size; it was left out", place)
        return None
    if size is not None and size != (height, width):
        damage.add("have a mask that differs from their image in size; it was left out", place)
        return None
    return mask
