"""Splitting images with several labels, or in groups, so that every part gets its share of each label.

The method is iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, 2011):
the rarest label is distributed first, each image to the part that lacks that label most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class _Units:
    """Units that are not divided: images, or groups of them.

    Attributes:
        order: ``(U,)`` the units, in the order in which they are distributed.
        sizes: the number of images in each unit.
        labels: ``(label, images)`` of each unit.
    """

    order: NDArray[np.int64]
    sizes: list[int]
    labels: list[list[tuple[int, int]]]


def divide_iteratively(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    names: Sequence[str],
    shares: Sequence[float],
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Divide images into parts, each with its share of each label.

    Without groups the sizes of the parts are exact, rounded to whole images. Groups stay together, so the sizes are
    only approximate. The result depends on the names and the seed, not on the order of the images.

    Args:
        pairs: ``(P,)`` rows and ``(P,)`` labels, each pair once.
        names: the names of the images; they determine the order before the shuffle.
        shares: the shares of the parts, with sum 1.
        seed: the seed of the shuffle.
        groups: ``(N,)`` the group of each image, starting at 0; each image is its own group if not given.

    Returns:
        ``(N,) int64`` the number of the part of each image.
    """
    count = len(names)
    units_of = np.arange(count) if groups is None else groups
    units = _units(pairs, names, units_of, seed)
    room = list(_whole_parts(count, shares)) if groups is None else [share * count for share in shares]
    parts = _deal(units, shares, room)
    return parts[units_of] if count else np.zeros(0, np.int64)


def _units(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]], names: Sequence[str], units_of: NDArray[np.int64], seed: int
) -> _Units:
    count = int(units_of.max()) + 1 if len(units_of) else 0
    sizes = np.bincount(units_of, minlength=count)
    first = np.full(count, len(names), np.int64)
    place = np.empty(len(names), np.int64)
    place[np.argsort(np.asarray(names, np.str_), kind="stable")] = np.arange(len(names))
    np.minimum.at(first, units_of, place)
    shuffled = np.empty(count, np.int64)
    shuffled[np.argsort(first, kind="stable")] = np.random.default_rng(seed).permutation(count)
    labels: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    rows, found = pairs
    if len(rows):
        unique, times = np.unique(np.stack([units_of[rows], found], axis=1), axis=0, return_counts=True)
        for (unit, label), images in zip(unique.tolist(), times.tolist(), strict=True):
            labels[unit].append((label, images))
    return _Units(np.lexsort((shuffled, -sizes)), sizes.tolist(), labels)


def _whole_parts(count: int, shares: Sequence[float]) -> NDArray[np.int64]:
    """Integers near the shares that sum to the count; the largest remainders are rounded up."""
    exact = np.asarray(shares) * count
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - sizes), kind="stable")
    sizes[order[: count - int(sizes.sum())]] += 1
    return sizes


def _deal(units: _Units, shares: Sequence[float], room: list[float]) -> NDArray[np.int64]:
    """The part of each unit."""
    parts = np.full(len(units.sizes), -1, np.int64)
    label_count = 1 + max((label for row in units.labels for label, _ in row), default=-1)
    by_label: list[list[int]] = [[] for _ in range(label_count)]
    images = np.zeros(label_count)
    for unit in units.order.tolist():
        for label, times in units.labels[unit]:
            by_label[label].append(unit)
            images[label] += times
    wanted = [(share * images).tolist() for share in shares]
    left = [len(row) for row in by_label]
    while any(left):
        rarest = min((number for number in range(label_count) if left[number]), key=lambda number: left[number])
        for unit in (unit for unit in by_label[rarest] if parts[unit] < 0):
            part = _neediest(room, [row[rarest] for row in wanted])
            parts[unit] = part
            room[part] -= units.sizes[unit]
            for label, times in units.labels[unit]:
                wanted[part][label] -= times
                left[label] -= 1
    for unit in units.order.tolist():
        if parts[unit] < 0:
            part = _neediest(room, room)
            parts[unit] = part
            room[part] -= units.sizes[unit]
    return parts


def _neediest(room: Sequence[float], wanted: Sequence[float]) -> int:
    """The part with room that lacks most; among equals the one with the most room."""
    return max(range(len(room)), key=lambda part: (room[part] > 1e-9, wanted[part], room[part], -part))
