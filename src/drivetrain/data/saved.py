"""Saving a data set to a single file: its table and its facts; pixels stay where they are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from drivetrain.data.facts import Facts
from drivetrain.data.table import SCHEMA
from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.machine import files


def write_table(path: str | Path, rows: pa.Table, facts: Facts) -> Path:
    """Write both to an Arrow file atomically and return its path."""
    target = Path(path)
    table = rows.replace_schema_metadata({b"drivetrain": json.dumps(asdict(facts)).encode()})
    with (
        files.whole_file(target) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    return target


def read_table(path: str | Path) -> tuple[pa.Table, Facts]:
    """Read what :func:`write_table` wrote.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: the file was not written by it, or is damaged.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(f"{path} does not exist. Dataset.save writes such a file.")
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        facts = Facts.from_json(table.schema.metadata[b"drivetrain"])
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a data set saved by drivetrain, or it is damaged: {error}") from error
    return _with_new_columns(table.replace_schema_metadata(None)), facts


def _with_new_columns(table: pa.Table) -> pa.Table:
    """A table that an older version wrote, with the columns that came later, which are empty."""
    for place, field in enumerate(SCHEMA):
        if field.name not in table.column_names:
            table = table.add_column(place, field, pa.nulls(len(table), field.type))
    return table
