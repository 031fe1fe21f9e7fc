"""Splitting images into subsets, stratified by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.grouping import Group, group_numbers, stable_names
from drivetrain.data.image_table import ImageTable
from drivetrain.data.label_pairs import pairs_of
from drivetrain.data.stratify import divide_iteratively
from drivetrain.data.table import list_lengths, list_values
from drivetrain.errors import DataError, OptionError
from drivetrain.types import Task
from drivetrain.types.options import check_seed

#: Below this number of images a metric is unreliable: one image in twenty is five percent.
_FEWEST = 20


def divide_all(
    data: ImageTable, shares: Mapping[str, float], seed: int, group: Group | None = None
) -> tuple[NDArray[np.object_], str]:
    """Assign a new subset to every image.

    Args:
        data: the images.
        shares: the shares of ``train``, ``val`` and ``test`` in the images.
        seed: the seed of the shuffle.
        group: what keeps images together; see :func:`drivetrain.data.grouping.group_numbers`.

    Returns:
        ``(N,)`` the subset of each image, and a note about it.

    Raises:
        OptionError: a share is outside 0..1, they do not sum to 1, or the seed is out of range.
    """
    if any(not 0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise OptionError(f"split shares {dict(shares)} must each be in 0..1 and add up to 1.")
    check_seed(seed)
    if group is None:
        names = _divide(data, np.arange(len(data)), shares, seed)
        return names, f"Split by seed {seed} into {_counted(names)}."
    numbers = group_numbers(data, group)
    names = _divide_groups(data, shares, seed, numbers)
    return names, f"Split by seed {seed}, {len(np.unique(numbers))} groups whole, into {_counted(names)}."


def divide_train(
    data: ImageTable, shares: Mapping[str, float], seed: int
) -> tuple[NDArray[np.object_], list[str]] | None:
    """Split the missing subsets off ``train``.

    Args:
        data: the data set whose training images are divided.
        shares: the shares of ``val`` and ``test`` in the training images.
        seed: the seed of the shuffle.

    Returns:
        ``(N,)`` the subset of each image, and notes about them; ``None`` if nothing is missing.

    Raises:
        OptionError: a share is outside 0..1, both together are 1 or more, or the seed is out of range.
        DataError: there are no training images.
    """
    val, test = shares["val"], shares["test"]
    if not 0 <= val < 1 or not 0 <= test < 1 or val + test >= 1:
        raise OptionError(f"val={val}, test={test}: each must be in 0..1 and both together below 1.")
    check_seed(seed)
    existing = data.subsets
    if "train" not in existing:
        raise DataError(
            f"The data set has no training images; its subsets are: {', '.join(existing) or 'none'}. "
            "To split all of its images again give splits=..."
        )
    if "val" in existing:
        return None
    wanted = {"val": val, "test": 0.0 if "test" in existing else test}
    wanted["train"] = 1 - sum(wanted.values())
    names = data.subset_names.astype(object)
    rows = np.flatnonzero(names == "train")
    names[rows] = _divide(data, rows, wanted, seed)
    lacking = "val" if "test" in existing else "val or test"
    note = f"The source has no {lacking} subset: train was split by seed {seed} into {_counted(names[rows])}."
    made = [name for name in ("val", "test") if wanted[name] > 0]
    warning = small_parts({name: int((names[rows] == name).sum()) for name in made})
    return names, [note, warning] if warning else [note]


def _divide(data: ImageTable, rows: NDArray[np.int64], shares: Mapping[str, float], seed: int) -> NDArray[np.object_]:
    """The new subset of each of the rows."""
    if _has_several_labels(data):
        return _divide_several(data, rows, shares, seed)
    groups = image_groups(data)[rows]
    stable = stable_names(data)
    paths = [stable[row] for row in rows]
    names = np.full(len(rows), "train", object)
    anomalies = data.anomalous[rows] == 1
    held_out = shares["val"] + shares["test"]
    if data.task is Task.ANOMALY and anomalies.any() and held_out > 0:
        part = np.flatnonzero(anomalies)
        to_test = stratified_choice(groups[part], [paths[i] for i in part], shares["test"] / held_out, seed)
        names[part] = np.where(to_test, "test", "val")
    free = np.flatnonzero(~anomalies) if data.task is Task.ANOMALY and held_out > 0 else np.arange(len(rows))
    for offset, name in enumerate(("test", "val")):
        rest = sum(share for other, share in shares.items() if other != "test" or name == "test")
        if shares[name] <= 0 or len(free) == 0:
            continue
        fraction = shares[name] / rest
        if fraction >= 1 - 1e-9:
            names[free] = name
            free = free[:0]
            continue
        picked = stratified_choice(groups[free], [paths[i] for i in free], fraction, seed + offset)
        names[free[picked]] = name
        free = free[~picked]
    return names


def _has_several_labels(data: ImageTable) -> bool:
    """Whether an image counts for several labels."""
    with_objects = data.table.column("box_labels").null_count < len(data)
    return data.task is Task.MULTILABEL_CLASSIFICATION or (with_objects and data.task.has_objects)


def _divide_several(
    data: ImageTable, rows: NDArray[np.int64], shares: Mapping[str, float], seed: int
) -> NDArray[np.object_]:
    """Like :func:`_divide`, if an image counts for each of its labels."""
    order = [name for name in ("train", "val", "test") if shares[name] > 0]
    stable = stable_names(data)
    parts = divide_iteratively(
        pairs_of(data, rows), [stable[row] for row in rows], [shares[name] for name in order], seed
    )
    return np.array(order, object)[parts]


def _divide_groups(
    data: ImageTable, shares: Mapping[str, float], seed: int, numbers: NDArray[np.int64]
) -> NDArray[np.object_]:
    """The new subset of each image, with no group in two; groups with an anomaly stay out of ``train``."""
    names = np.full(len(data), "train", object)
    held = np.zeros(len(data), np.bool_)
    if data.task is Task.ANOMALY and shares["val"] + shares["test"] > 0:
        held = np.isin(numbers, numbers[data.anomalous == 1])
    stable = stable_names(data)
    for rows, allowed in ((np.flatnonzero(held), ("val", "test")), (np.flatnonzero(~held), ("train", "val", "test"))):
        order = [name for name in allowed if shares[name] > 0]
        if not len(rows):
            continue
        whole = sum(shares[name] for name in order)
        part_shares = [shares[name] / whole for name in order]
        _, local = np.unique(numbers[rows], return_inverse=True)
        parts = divide_iteratively(pairs_of(data, rows), [stable[row] for row in rows], part_shares, seed, local)
        names[rows] = np.array(order, object)[parts]
    return names


def k_fold_rows(
    data: ImageTable, folds: int, seed: int, group: Group | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The training and validation rows of each fold; see :meth:`drivetrain.Dataset.k_fold`.

    Raises:
        OptionError: there are fewer than two folds, or more folds than images or groups.
    """
    check_seed(seed)
    rows = np.flatnonzero(data.subset_names != "test")
    numbers = np.arange(len(data)) if group is None else group_numbers(data, group)
    _, local = np.unique(numbers[rows], return_inverse=True)
    units = int(local.max()) + 1 if len(local) else 0
    if not 2 <= folds <= units:
        what = "images that are not for test" if group is None else "groups"
        raise OptionError(f"folds={folds}: there are {units} {what}; give 2 to {max(units, 2)}.")
    stable = stable_names(data)
    parts = divide_iteratively(
        pairs_of(data, rows),
        [stable[row] for row in rows],
        [1 / folds] * folds,
        seed,
        None if group is None else local,
    )
    trained = np.ones(len(rows), np.bool_) if data.task is not Task.ANOMALY else data.anomalous[rows] != 1
    return [(rows[(parts != fold) & trained], rows[parts == fold]) for fold in range(folds)]


def image_groups(data: ImageTable) -> NDArray[np.int64]:
    """``(N,)`` the label that each image counts for: its own, or the rarest of several; -1 without one."""
    if _has_several_labels(data):
        column = "labels" if data.task is Task.MULTILABEL_CLASSIFICATION else "box_labels"
        return rarest_labels(_rows_of(data, column), len(data.label_names))
    return data.image_labels


def _rows_of(data: ImageTable, column: str) -> list[NDArray[np.int64]]:
    lengths = np.maximum(list_lengths(data.table, column), 0)
    return np.split(list_values(data.table, column), np.cumsum(lengths)[:-1]) if len(data) else []


def small_parts(counts: Mapping[str, int]) -> str:
    """A warning about subsets that are too small for reliable metrics, or ``""``.

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

    Every group contributes its share rounded up or down, and together they give the rounded fraction of the whole.
    A group of two or more never contributes all of its members. The choice depends on the names and the seed, not on
    the order.

    Args:
        groups: ``(N,)`` the group number of each member.
        names: the names of the members; they determine the order before the shuffle.
        fraction: in 0..1.
        seed: the seed of the shuffle.

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
    """The label of each image that the fewest images have; -1 for images without labels."""
    frequency = np.zeros(label_count, np.int64)
    for row in rows:
        frequency[np.unique(row)] += 1
    return np.array([row[np.argmin(frequency[row])] if len(row) else -1 for row in rows], np.int64)


def _correct_count(
    chosen: NDArray[np.bool_], groups: NDArray[np.int64], position: NDArray[np.int64], wanted: int
) -> None:
    """Correct an excess or shortfall of one due to rounding, in the largest group."""
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


def _counted(names: NDArray[np.object_]) -> str:
    """``80 train, 10 val`` of an array of names."""
    found, counts = np.unique(names.astype(np.str_), return_counts=True)
    by_name = dict(zip(found.tolist(), counts.tolist(), strict=True))
    order = sorted(by_name, key=lambda name: ({"train": 0, "val": 1, "test": 2}.get(name, 3), name))
    return ", ".join(f"{by_name[name]} {name}" for name in order)
