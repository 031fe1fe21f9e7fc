"""COCO run-length masks: alternating counts of 0 and 1, column by column, in the string form of COCO files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode_mask(mask: NDArray[Any]) -> dict[str, object]:
    """The run-length dict of a ``(H, W)`` mask; every non-zero value is inside."""
    height, width = mask.shape
    flat = np.asarray(mask, np.bool_).reshape(-1, order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    ends = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(ends)
    if flat.size and flat[0]:
        counts = np.concatenate([[0], counts])
    return {"size": [height, width], "counts": counts_to_string(counts.tolist())}


def decode_mask(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The ``(H, W) bool`` mask of a run-length dict with its counts as a string or a list.

    Raises:
        ValueError: the counts do not cover the mask exactly.
    """
    height, width = (int(value) for value in rle["size"])
    counts = np.asarray(counts_of(rle), np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(f"the counts of the mask cover {counts.sum()} of {height * width} pixels.")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def canonical(rle: Mapping[str, Any]) -> dict[str, object]:
    """The same mask with its counts as a string."""
    counts = rle["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    elif not isinstance(counts, str):
        counts = counts_to_string(counts)
    return {"size": [int(rle["size"][0]), int(rle["size"][1])], "counts": counts}


def area_of(rle: Mapping[str, Any]) -> int:
    """The number of pixels inside the mask."""
    return int(sum(counts_of(rle)[1::2]))


def box_of(rle: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The smallest ``x1, y1, x2, y2`` around the pixels inside the mask; zeros if there are none."""
    mask = decode_mask(rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def counts_of(rle: Mapping[str, Any]) -> Sequence[int]:
    """The counts as numbers."""
    counts = rle["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    return counts_from_string(counts) if isinstance(counts, str) else [int(value) for value in counts]


def counts_to_string(counts: Sequence[int]) -> str:
    """Five bits per character, lowest first; from the fourth count on, the difference to the count two before."""
    characters = []
    for index, count in enumerate(counts):
        value = int(count) - int(counts[index - 2]) if index > 2 else int(count)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            characters.append(chr((bits | 32 if more else bits) + 48))
    return "".join(characters)


def counts_from_string(text: str) -> list[int]:
    """The inverse of :func:`counts_to_string`."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
