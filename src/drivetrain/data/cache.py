"""Parsed tables, kept between runs for as long as the files they came from do not change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drivetrain.data.cache_entries import entries_of, mark_used, remove_when_due
from drivetrain.data.dataset import Dataset
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError
from drivetrain.machine import files
from drivetrain.machine.files import cache_dir

_VERSION = 5  # raise it whenever a reader or a check produces a different table from the same files


def entry_path(source: Path, options: Mapping[str, Any]) -> Path:
    """Where the table of this source, read with these options, is stored."""
    key = fingerprint_of([str(_VERSION), str(source), json.dumps(options, sort_keys=True, default=str)])
    return cache_dir() / "tables" / f"{key}.arrow"


def recall(path: Path, state: str) -> Dataset | None:
    """The stored table; ``None`` if there is none, it is of other files, or it is damaged.

    Args:
        path: from :func:`entry_path`.
        state: the current fingerprint of the files of the source.
    """
    try:
        kept = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if kept["state"] != state or kept["outside"] != outside_state(kept["watched"]):
            return None
        data = Dataset.load(path)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    mark_used(path.with_suffix(".json"), *entries_of(kept["watched"]))
    return data


def keep(path: Path, data: Dataset, state: str, watched: Iterable[str]) -> str:
    """Store a table; a cache that cannot be written is not an error.

    Args:
        path: from :func:`entry_path`.
        data: the data set to store.
        state: the fingerprint of the files of the source.
        watched: files and folders outside the source that the table depends on.

    Returns:
        ``""``, or a note that says why nothing could be stored.
    """
    outside = sorted(watched)
    content = {"source": data.source, "state": state, "watched": outside, "outside": outside_state(outside)}
    try:
        data.save(path)
        files.write_text(path.with_suffix(".json"), json.dumps(content))
        remove_when_due()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return (
            f"The parsed data set could not be cached in {path.parent}: {reason}. "
            "Set DRIVETRAIN_CACHE to a writable folder."
        )
    return ""


def outside_state(paths: Iterable[str]) -> str:
    """A fingerprint of files and of the direct contents of folders."""
    lines = []
    for path in paths:
        if Path(path).is_dir():
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            lines += [_line(entry.path, entry.stat()) for entry in found if entry.is_file()]
        else:
            lines.append(_line(path, os.stat(path)) if Path(path).exists() else f"{path}\0absent")  # noqa: PTH116
    return fingerprint_of(lines)


def _line(path: str, stat: os.stat_result) -> str:
    return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}"
