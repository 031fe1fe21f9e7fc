"""Dividing images into subsets, each label in its share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Of fewer images a metric is rather luck than a measurement: one image is five percent of twenty.
_FEWEST = 20


def small_parts(counts: Mapping[str, int]) -> str:
    """A warning about subsets that are too small to measure on, or ``""``.

    Args:
        counts: subset -> images, of the subsets that were split off.
    """
    small = {name: count for name, count in counts.items() if count < _FEWEST}
    if not small:
        return ""
    named = " and ".join(f"{name} has {count}" for name, count in small.items())
    return (
        f"Few images to measure on: {named}, so the metrics there move in large steps. Give more images, or divide "
        "them yourself (subsets in the data, or splits of load_dataset: --data.splits '[0.6, 0.2, 0.2]')."
    )


def stratified_choice(
    groups: Sequence[int] | NDArray[np.int64], names: Sequence[str], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose a fraction of the members, evenly from every group.

    Every group gives its share rounded up or down, and all of them together give the fraction of the whole rounded.
    A group of two or more never gives all of its members. The choice depends on the names and the seed, not on the
    order.

    Args:
        groups: ``(N,)`` number of the group of each member.
        names: what the members are called; they settle the order before it is shuffled.
        fraction: in 0..1.
        seed: of the shuffle.

    Returns:
        ``(N,) bool``, true for the chosen.
    """
    groups = np.asarray(groups, np.int64)
    count = len(groups)
    chosen = np.zeros(count, np.bool_)
    wanted = min(round(count * fraction), count)
    if fraction > 0 and wanted == 0 and count > 1:
        wanted = 1
    if wanted == 0:
        return chosen
    random = np.random.default_rng(seed)
    position = np.empty(count, np.int64)
    position[np.argsort(np.asarray(names, np.str_), kind="stable")] = random.permutation(count)
    order = np.lexsort((position, groups))
    steps = np.floor(np.arange(count + 1) * (wanted / count) + random.random() + 1e-9)
    chosen[order] = np.diff(steps) > 0
    _correct_count(chosen, groups, position, wanted)
    _leave_one(chosen, groups, position)
    return chosen


def rarest_labels(rows: Sequence[NDArray[np.int64]], label_count: int) -> NDArray[np.int64]:
    """For each image the label of it that the fewest images have; -1 for images without labels."""
    frequency = np.zeros(label_count, np.int64)
    for row in rows:
        frequency[np.unique(row)] += 1
    return np.array([row[np.argmin(frequency[row])] if len(row) else -1 for row in rows], np.int64)


def _correct_count(
    chosen: NDArray[np.bool_], groups: NDArray[np.int64], position: NDArray[np.int64], wanted: int
) -> None:
    """Rounding may leave one too many or too few: settle it in the largest group."""
    surplus = int(chosen.sum()) - wanted
    if surplus == 0:
        return
    sizes = np.bincount(groups - groups.min())[groups - groups.min()]
    candidates = np.flatnonzero(chosen if surplus > 0 else ~chosen)
    order = candidates[np.lexsort((position[candidates], -sizes[candidates]))]
    chosen[order[: abs(surplus)]] = surplus < 0


def _leave_one(chosen: NDArray[np.bool_], groups: NDArray[np.int64], position: NDArray[np.int64]) -> None:
    """Give one member back to every group that lost all, and take another from the group with the most left."""
    values, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    left = sizes - np.bincount(inverse, weights=chosen, minlength=len(values)).astype(np.int64)
    for group in np.flatnonzero(left == 0):
        members = np.flatnonzero(inverse == group)
        back = members[np.argmin(position[members])]
        chosen[back] = False
        left[group] += 1
        donor = int(np.argmax(left))
        if left[donor] > 1:
            candidates = np.flatnonzero((inverse == donor) & ~chosen)
            candidates = candidates[candidates != back]
            if len(candidates):
                chosen[candidates[np.argmin(position[candidates])]] = True
                left[donor] -= 1
