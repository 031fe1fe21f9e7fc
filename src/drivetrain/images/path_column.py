"""The column of a table that says where the images are."""

from __future__ import annotations

from typing import Any

from drivetrain.errors import DataError

#: Names of a table's column with the paths of the images, in lower case, the preferred one first.
PATH_COLUMNS = (
    "path",
    "image",
    "file",
    "filename",
    "image_path",
    "file_path",
    "filepath",
    "file_name",
    "img",
    "image_name",
)


def is_table(source: Any) -> bool:
    """Whether it is a ``DataFrame`` of pandas or polars, which need not be installed."""
    known = ("pandas", "polars")
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] in known for cls in type(source).__mro__
    )


def path_column(table: Any) -> list[Any]:
    """The paths of the images in a table.

    Raises:
        DataError: no column is named like one of paths.
    """
    columns = {str(name).lower(): name for name in reversed(list(table.columns))}
    name = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    if name is None:
        raise DataError(
            f"source is a table with the columns {', '.join(map(repr, table.columns))}, none of which names the "
            f"images. Call the column one of: {', '.join(PATH_COLUMNS)}."
        )
    return list(table[name])
