"""Exact and near-duplicate pictures, found by a hash and verified on the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.care.pictures import Pictures
from drivetrain.errors import DataError
from drivetrain.images.frames import shared_reader
from drivetrain.types.data_findings import DataFinding

METHOD = (
    "hash of 128 bits (cosine transform), every pair within 7 bits; near copies are proven by the correlation of "
    "32 x 32 pixels (0.99), exact ones by all of their pixels"
)
#: Bits of the hash that may differ. The hash has one more band, so two such hashes agree in at least one band.
_RADIUS = 7
_BANDS = _RADIUS + 1
_CORRELATION = 0.99
_MOST_COLOUR = 24.0
#: Pictures with less contrast resemble any other such picture.
_FLAT = 2.0


def copies(
    paths: Sequence[str], subsets: Sequence[str], labels: Sequence[str], pictures: Pictures
) -> Iterator[DataFinding]:
    """Yield a finding for each picture that is a copy of an earlier one, and another if that is in another subset.

    Args:
        paths: the pictures.
        subsets: the subset of each picture.
        labels: the name of the single label of each picture, ``""`` if it has none.
        pictures: what is known about them.
    """
    usable = pictures.readable
    first, second = _pairs(pictures, usable & (pictures.tones[:, 1] >= _FLAT))
    flat_first, flat_second = _equal_pairs(pictures, usable & (pictures.tones[:, 1] < _FLAT))
    first, second = np.concatenate([first, flat_first]), np.concatenate([second, flat_second])
    same_look = (pictures.thumbnails[first] == pictures.thumbnails[second]).all(axis=(1, 2))
    same_look &= (pictures.sizes[first] == pictures.sizes[second]).all(axis=1)
    exact = np.array(
        [look and _same_pixels(paths[a], paths[b]) for look, a, b in zip(same_look, first, second, strict=True)],
        np.bool_,
    )
    flat_pair = pictures.tones[first, 1] < _FLAT
    facts = (paths, subsets, labels)
    yield from _findings(*facts, first[exact], second[exact], exact=True)
    near = ~exact & ~flat_pair
    yield from _findings(*facts, first[near], second[near], exact=False)


def _findings(
    paths: Sequence[str],
    subsets: Sequence[str],
    labels: Sequence[str],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    *,
    exact: bool,
) -> Iterator[DataFinding]:
    kind, verb = ("exact_duplicate", "has the pixels of") if exact else ("near_duplicate", "looks like")
    for group in groups_of(len(paths), first, second):
        head = group[0]
        more = f" and {len(group) - 2} more" if len(group) > 2 else ""
        for row in group[1:]:
            others = tuple(paths[other] for other in group if other != row)
            differs = bool(labels[row] and labels[head] and labels[row] != labels[head])
            reason = f"It {verb} {paths[head]}{more}{', under another label' if differs else ''}."
            names = (labels[row], labels[head]) if differs else ("", "")
            yield DataFinding(kind, reason, paths[row], subsets[row], 1.0, *names, others=others)
        for row in (row for row in group if subsets[row] != subsets[head]):
            reason = f"{'An exact' if exact else 'A near'} copy is in {subsets[head]}: {paths[head]}."
            yield DataFinding("leak", reason, paths[row], subsets[row], others=(paths[head],))


def groups_of(count: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> list[list[int]]:
    """The connected components of the pairs, each sorted."""
    parents = list(range(count))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        low, high = sorted((root(a), root(b)))
        parents[high] = low
    groups: dict[int, list[int]] = {}
    for row in sorted({*first.tolist(), *second.tolist()}):
        groups.setdefault(root(row), []).append(row)
    return list(groups.values())


def _pairs(pictures: Pictures, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Enough pairs of pictures with similar hashes and correlated thumbnails to form the groups.

    Pictures with the same hash are each compared with the first one that resembles no earlier picture, so that the
    many frames of a static camera yield few pairs.
    """
    rows = np.flatnonzero(chosen)
    _, inverse, counts = np.unique(pictures.hashes[rows], axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    pairs, leaders = [], []
    for members in np.split(rows[order], np.cumsum(counts)[:-1]):
        while len(members):
            leader, rest = members[:1], members[1:]
            leaders.append(leader)
            if not len(rest):
                break
            alike = _alike(pictures, np.repeat(leader, len(rest)), rest)
            pairs.append(np.stack([np.repeat(leader, alike.sum()), rest[alike]], axis=1))
            members = rest[~alike]
    heads = np.concatenate([np.zeros(0, np.int64), *leaders])
    left, right = near_hashes(pictures.hashes[heads])
    alike = _alike(pictures, heads[left], heads[right])
    pairs.append(np.stack([heads[left[alike]], heads[right[alike]]], axis=1))
    found = np.sort(np.concatenate(pairs), axis=1)
    return found[:, 0], found[:, 1]


def near_hashes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair of the hashes ``(N, 2)`` within seven bits.

    At least one of eight bands has no differing bit, so only hashes that agree in a band are compared: no pair is
    missed, and few others are looked at.
    """
    bands = np.ascontiguousarray(hashes).view(np.uint16).reshape(len(hashes), _BANDS)
    pairs = [np.zeros((0, 2), np.int64)]
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        keys = band[order]
        distance = 1
        same = np.flatnonzero(keys[distance:] == keys[:-distance])
        while len(same):
            a, b = order[same], order[same + distance]
            close = _differing_bits(hashes[a], hashes[b]) <= _RADIUS
            pairs.append(np.sort(np.stack([a[close], b[close]], axis=1), axis=1))
            distance += 1
            same = same[same + distance < len(keys)]
            same = same[keys[same + distance] == keys[same]]
    found = np.unique(np.concatenate(pairs), axis=0)
    return found[:, 0], found[:, 1]


def _differing_bits(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    different = np.ascontiguousarray(a ^ b).view(np.uint16)
    return np.asarray(_ONES[different].sum(axis=1), np.int64)


_ONES = np.array([bin(number).count("1") for number in range(1 << 8)], np.uint8)
_ONES = (_ONES[:, None] + _ONES[None]).reshape(-1)


def _alike(pictures: Pictures, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the thumbnails correlate and the colours are about the same."""
    result = np.zeros(len(a), np.bool_)
    for start in range(0, len(a), 4096):
        part = slice(start, start + 4096)
        left, right = (_normalised(pictures.thumbnails[rows[part]]) for rows in (a, b))
        result[part] = np.einsum("ij,ij->i", left, right) >= _CORRELATION
    colour = np.abs(pictures.colours[a] - pictures.colours[b]).max(axis=1, initial=0)
    return np.asarray(result & (colour <= _MOST_COLOUR), np.bool_)


def _normalised(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)


def _equal_pairs(pictures: Pictures, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Blank pictures with equal thumbnails and sizes, each paired with the first of its kind."""
    rows = np.flatnonzero(chosen)
    keys = [(pictures.thumbnails[row].tobytes(), *pictures.sizes[row].tolist()) for row in rows]
    first: dict[tuple[object, ...], int] = {}
    linked = np.array([first.setdefault(key, row) for key, row in zip(keys, rows.tolist(), strict=True)], np.int64)
    other = linked != rows
    return linked[other], rows[other]


def _same_pixels(first: str, second: str) -> bool:
    """Whether two files have the same bytes or the same pixels."""
    try:
        if "#" not in first and "#" not in second and Path(first).read_bytes() == Path(second).read_bytes():
            return True
        reader = shared_reader()
        return bool(np.array_equal(reader.read(first), reader.read(second)))
    except (OSError, DataError):  # deleted since it was looked at; it cannot be shown as a copy
        return False
