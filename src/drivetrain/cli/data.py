"""Data that are read with options of their own: ``--data.KEY VALUE``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from drivetrain.errors import OptionError
from drivetrain.options import check_names


def load_with(source: str | None, arguments: Mapping[str, Any], task: str | None) -> Any:
    """The data set of a path, read with options.

    Args:
        source: the path.
        arguments: of :func:`drivetrain.load_dataset`.
        task: what the data are to be used for.

    Raises:
        OptionError: there is no such option, or no path to use it on.
        DataError: the data cannot be read.
    """
    from drivetrain.data import load_dataset

    if source is None:
        raise OptionError("data_args are given but no data. Add: --data PATH.")
    allowed = [name for name in inspect.signature(load_dataset).parameters if name not in ("source", "task")]
    check_names("data", list(arguments), allowed)
    return load_dataset(source, task=task, **arguments)
