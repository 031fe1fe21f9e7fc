"""What data sets have left in the user's cache: its size, its age, and what is removed when there is too much.

Tables are parsed annotations, archives are unpacked ones; class maps and pictures were written because the source has
them in another form. An entry is removed as a whole: it is renamed first, so another process sees all of it or nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivetrain.errors import OptionError
from drivetrain.machine.files import cache_dir

KINDS = ("tables", "archives", "class_maps", "pictures")
SIZE_VARIABLE, AGE_VARIABLE = "DRIVETRAIN_CACHE_GB", "DRIVETRAIN_CACHE_DAYS"
_MOST_GB, _MOST_DAYS = 50.0, 90.0
_SPARED_DAYS = 7.0  # entries used since then are not removed automatically: another process may still need them
_DAY = 24 * 60 * 60
_STAMP = ".data_cache_looked_at"
_LEFTOVER = ".partial"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One item in the cache.

    Attributes:
        kind: one of :data:`KINDS`.
        path: its file or folder.
        size: in bytes, including everything that belongs to it.
        used: when it was last used, in seconds since 1970.
        source: what it was made from, if known.
    """

    kind: str
    path: Path
    size: int
    used: float
    source: str = ""

    @property
    def days(self) -> float:
        """The time since it was last used."""
        return max(time.time() - self.used, 0.0) / _DAY


def mark_used(*paths: Path) -> None:
    """Mark files or folders of the cache as in use; one that no longer exists is not an error."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.utime(path)


def entries_of(paths: Iterable[str]) -> set[Path]:
    """The entries of class maps and pictures that these folders belong to."""
    found = set()
    for kind in ("class_maps", "pictures"):
        root = cache_dir() / kind
        found |= {root / Path(path).relative_to(root).parts[0] for path in paths if _is_below(path, root)}
    return found


def _is_below(path: str, root: Path) -> bool:
    return Path(path) != root and Path(path).is_relative_to(root)


def cache_entries() -> list[CacheEntry]:
    """Everything that data sets have left, the least recently used first."""
    found = [entry for kind in KINDS for entry in _entries(cache_dir() / kind, kind)]
    return sorted(found, key=lambda entry: entry.used)


def _entries(folder: Path, kind: str) -> Iterator[CacheEntry]:
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):  # another process may remove it in the meantime
                if kind == "tables" and path.suffix == ".arrow" and not path.name.startswith("."):
                    yield _table(path)
                elif kind != "tables" and path.is_dir() and not path.name.startswith("."):
                    source = path.name.rpartition("-")[0] if kind == "archives" else ""
                    yield CacheEntry(kind, path, _size(path), path.stat().st_mtime, source)


def _table(path: Path) -> CacheEntry:
    beside = path.with_suffix(".json")
    size, used, source = path.stat().st_size, path.stat().st_mtime, ""
    with contextlib.suppress(OSError, ValueError):
        size, used = size + beside.stat().st_size, beside.stat().st_mtime
        told = json.loads(beside.read_text(encoding="utf-8"))
        source = str(told.get("source", "")) if isinstance(told, dict) else ""
    return CacheEntry("tables", path, size, used, source)


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - many files
    return total


def remove(entries: Iterable[CacheEntry]) -> list[CacheEntry]:
    """Remove entries; returns those that existed and could be removed."""
    return [entry for entry in entries if _remove(entry)]


def _remove(entry: CacheEntry) -> bool:
    if entry.kind == "tables":  # a table is not used without the file next to it
        entry.path.with_suffix(".json").unlink(missing_ok=True)
    gone = entry.path.with_name(f".{entry.path.name}.{os.getpid()}{_LEFTOVER}")
    try:
        entry.path.rename(gone)
    except OSError:
        return False
    if gone.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        gone.unlink(missing_ok=True)
    return True


def superfluous(
    entries: Sequence[CacheEntry], *, max_bytes: float | None = None, max_days: float | None = None
) -> list[CacheEntry]:
    """The entries unused for longer than a time, and the least recently used of the others until the rest fits a size.

    Args:
        entries: the least recently used first.
        max_bytes: the total size of what stays; ``None`` for no limit.
        max_days: days since an entry was last used; ``None`` for no limit.
    """
    old = [entry for entry in entries if max_days is not None and entry.days > max_days]
    kept = [entry for entry in entries if entry not in old]
    total = sum(entry.size for entry in kept)
    for entry in kept:
        if max_bytes is None or total <= max_bytes:
            break
        old.append(entry)
        total -= entry.size
    return old


def remove_when_due() -> None:
    """Once a day, remove what is too old or too much, except what was used in the last week, and leftovers of writes.

    A cache that cannot be inspected is not an error.
    """
    stamp = cache_dir() / _STAMP
    with contextlib.suppress(OSError):
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _DAY:
            return
        stamp.touch()
        entries = cache_entries()
        chosen = superfluous(entries, max_bytes=_limit(SIZE_VARIABLE, _MOST_GB) * 1e9, max_days=_most_days())
        remove(entry for entry in chosen if entry.days > _SPARED_DAYS)
        for kind in KINDS:
            _remove_leftovers(cache_dir() / kind)


def _remove_leftovers(folder: Path) -> None:
    """What a killed process had begun to write or to remove."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if time.time() - path.lstat().st_mtime > _DAY:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _most_days() -> float:
    return _limit(AGE_VARIABLE, _MOST_DAYS)


def _limit(name: str, usual: float) -> float:
    """The limit set by an environment variable.

    Raises:
        OptionError: it is not a positive number.
    """
    text = os.environ.get(name, "")
    try:
        value = float(text or usual)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise OptionError(f"{name}={text!r} must be a number above 0.")
    return value


def limits() -> tuple[float, float]:
    """The limits of the cache: gigabytes, and days without use.

    Raises:
        OptionError: a variable sets one of them to something that is not a positive number.
    """
    return _limit(SIZE_VARIABLE, _MOST_GB), _most_days()
