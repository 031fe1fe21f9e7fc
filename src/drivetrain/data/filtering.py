"""Selecting images of a data set by label, subset, size, path, or any condition on the columns."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.data.grouping import stable_names
from drivetrain.data.image_table import ImageTable
from drivetrain.data.label_pairs import images_with
from drivetrain.errors import DataError, OptionError, near

Size = int | tuple[int, int]


def fitting_rows(
    data: ImageTable,
    *,
    labels: str | Sequence[str] | None = None,
    subsets: str | Sequence[str] | None = None,
    path: str | None = None,
    min_size: Size | None = None,
    max_size: Size | None = None,
    where: Any = None,
) -> NDArray[np.int64]:
    """The positions of the images that satisfy every condition; see :meth:`drivetrain.Dataset.filter`.

    Raises:
        DataError: there is no such label or subset.
        OptionError: a condition cannot be applied.
    """
    fits = np.ones(len(data), np.bool_)
    if labels is not None:
        fits &= images_with(data, label_numbers(data, labels))
    if subsets is not None:
        wanted = _known(_texts(subsets), data.subsets, "subsets")
        fits &= np.isin(data.subset_names, wanted)
    if path is not None:
        fits &= np.array([fnmatch.fnmatch(name.lstrip("/"), path) for name in stable_names(data)], np.bool_)
    for name, size, sign in (("min_size", min_size, 1), ("max_size", max_size, -1)):
        if size is not None:
            fits &= (sign * data.sizes >= sign * _height_width(name, size)).all(axis=1)
    if where is not None:
        fits &= _mask(data, where)
    return np.flatnonzero(fits)


def selected_rows(data: ImageTable, indices: Iterable[int] | Iterable[str]) -> NDArray[np.int64]:
    """The positions of images given as positions or paths; see :meth:`drivetrain.Dataset.select`.

    Raises:
        IndexError: a position is outside the data set.
        DataError: a path is not in the data set.
    """
    wanted: list[Any] = list(indices)
    if wanted and isinstance(wanted[0], str | Path):
        return _rows_of_paths(data, [str(path) for path in wanted])
    positions = np.array(wanted, np.int64)
    if len(positions) and (positions.min() < -len(data) or positions.max() >= len(data)):
        raise IndexError(f"a position is outside a data set of {len(data)} images.")
    return positions % max(len(data), 1)


def _rows_of_paths(data: ImageTable, paths: list[str]) -> NDArray[np.int64]:
    below = [name.lstrip("/") for name in stable_names(data)]
    rows = {name: row for names in (below, data.paths) for row, name in reversed(list(enumerate(names)))}
    for path in paths:
        if path not in rows:
            raise DataError(f"{path!r} is not in this data set of {len(data)} images.{near(path, below)}")
    return np.array([rows[path] for path in paths], np.int64)


def label_numbers(data: ImageTable, labels: str | Sequence[str]) -> NDArray[np.int64]:
    """The numbers of the named labels.

    Raises:
        DataError: there is no such label; the message suggests the closest.
    """
    known = {name: number for number, name in enumerate(data.label_names)}
    return np.array([known[name] for name in _known(_texts(labels), known, "labels")], np.int64)


def _texts(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _known(wanted: list[str], known: Iterable[str], argument: str) -> list[str]:
    names = list(known)
    for name in wanted:
        if name not in names:
            listed = ", ".join(names[:40]) or "none"
            raise DataError(f"{argument}: {name!r} is not in this data set.{near(name, names)} It has: {listed}.")
    return wanted


def _height_width(name: str, size: Size) -> NDArray[np.int64]:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 0:
        raise OptionError(f"{name}={size!r}: give a whole number of pixels, or (height, width).")
    return np.array(sides, np.int64)


def _mask(data: ImageTable, where: Any) -> NDArray[np.bool_]:
    if isinstance(where, pc.Expression):
        numbered = data.table.append_column("row", pa.array(np.arange(len(data))))
        try:
            found = numbered.filter(where).column("row").to_numpy()
        except (pa.ArrowException, KeyError) as error:
            raise OptionError(
                f"where={where}: {error}. The columns are: {', '.join(data.table.column_names)}."
            ) from error
        mask = np.zeros(len(data), np.bool_)
        mask[found] = True
        return mask
    given = np.asarray(where(data) if callable(where) else where)
    if given.shape != (len(data),) or given.dtype != np.bool_:
        raise OptionError(
            f"where is {given.dtype} with shape {given.shape}; it needs True or False for each of the {len(data)} "
            "images: an array, a function from the data set to one, or a pyarrow.compute expression on the columns."
        )
    return given
