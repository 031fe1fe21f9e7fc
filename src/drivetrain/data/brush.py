"""Masks in the form in which Label Studio stores brush strokes: runs of bytes, packed bit by bit.

The packing follows its published description (``rle-pack`` of thi.ng): the number of values in 32 bits, the width of a
value minus one in 5, the widths of four lengths minus one in 4 each; then for each run a bit, the index of its width in
2, its length minus one, and the value once (a run) or for every position. A mask is four equal bytes per pixel, row by
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANNELS = 4
_WORD = 8
_WIDTHS = (3, 4, 8, 16)
_HEAD = 32 + 5 + 4 * 4


def encode_brush(mask: NDArray[Any]) -> list[int]:
    """The bytes of a ``(H, W)`` mask; every value but 0 is inside."""
    flat = np.asarray(mask, np.bool_).reshape(-1)
    ends = np.concatenate([np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    bits = [f"{flat.size * _CHANNELS:032b}{_WORD - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
        value = "1" * _WORD if end and flat[end - 1] else "0" * _WORD
        while length:
            part = min(length, 1 << _WIDTHS[-1])
            kind = next(index for index, width in enumerate(_WIDTHS) if part <= 1 << width)
            bits.append(f"1{kind:02b}{part - 1:0{_WIDTHS[kind]}b}{value}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(values: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The ``(H, W) bool`` mask of these bytes.

    Args:
        values: the bytes, each 0..255.
        size: ``(height, width)`` of the mask.

    Raises:
        ValueError: the bytes are invalid, or belong to a mask of another size.
    """
    text = f"{int.from_bytes(bytes(values), 'big'):0{8 * len(values)}b}"
    total = size[0] * size[1] * _CHANNELS
    if len(text) < _HEAD or int(text[:32], 2) != total:
        raise ValueError(f"the bytes are not those of a mask of {size[0]} x {size[1]} pixels.")
    word = int(text[32:37], 2) + 1
    widths = [int(text[place : place + 4], 2) + 1 for place in range(37, _HEAD, 4)]
    found = np.zeros(total, np.bool_)
    place, index = _HEAD, 0
    while index < total:
        width = widths[int(text[place + 1 : place + 3], 2)]
        count = min(int(text[place + 3 : place + 3 + width], 2) + 1, total - index)
        start = place + 3 + width
        if text[place] == "1":
            found[index : index + count] = int(text[start : start + word], 2) > 0
            place = start + word
        else:
            place = start + count * word
            words = np.frombuffer(text[start:place].encode(), np.uint8).reshape(count, word) == ord("1")
            found[index : index + count] = words.any(axis=1)
        index += count
    return found.reshape(*size, _CHANNELS)[..., -1].copy()
