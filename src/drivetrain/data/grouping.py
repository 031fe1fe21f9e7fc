"""Groups of images that must stay together: those of one patient, video, part or day."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.image_table import ImageTable
from drivetrain.errors import DataError, OptionError

#: A function of the path, the name of a column, a pattern for the path, or a value per image.
Group = Callable[[str], Hashable] | str | Sequence[Hashable] | NDArray[Any]


def group_numbers(data: ImageTable, group: Group) -> NDArray[np.int64]:
    """The group of each image.

    Args:
        data: the images.
        group: a function from the path of an image to its group; the name of a column of the table; a regular
            expression searched for in the path below the root (the group is its first capture group, or the whole
            match if it has none); or one value per image.

    Returns:
        ``(N,) int64``, starting at 0.

    Raises:
        OptionError: the pattern is invalid, or the number of values differs from the number of images.
        DataError: a path does not match the pattern.
    """
    values = _values(data, group)
    if len(values) != len(data):
        raise OptionError(f"group has {len(values)} values; it needs one for each of the {len(data)} images.")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def stable_names(data: ImageTable) -> list[str]:
    """The paths below the root, with ``/``, so that a moved data set is treated the same."""
    root = data.facts.root
    return [path[len(root) :].replace(os.sep, "/") if root and path.startswith(root) else path for path in data.paths]


def _values(data: ImageTable, group: Group) -> Sequence[Hashable]:
    if callable(group):
        return [group(path) for path in data.paths]
    if not isinstance(group, str):
        return list(group)
    if group in data.table.column_names:
        column = data.table.column(group)
        if pa.types.is_nested(column.type):
            raise OptionError(f"group={group!r} is a column of lists; give one with a single value for each image.")
        return list(column.to_pylist())
    return _matches(data, group)


def _matches(data: ImageTable, text: str) -> list[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise OptionError(f"group={text!r} is not a regular expression: {error}.") from error
    found = []
    for name in stable_names(data):
        match = pattern.search(name)
        if match is None:
            columns = ", ".join(name for name in data.table.column_names if not _is_nested(data, name))
            raise DataError(
                f"group={text!r} does not match {name!r}. It is searched for in the path of every image below the "
                f"root; or give one of the columns: {columns}."
            )
        found.append(match.group(1) or "" if pattern.groups else match.group(0))
    return found


def _is_nested(data: ImageTable, name: str) -> bool:
    return bool(pa.types.is_nested(data.table.column(name).type))
