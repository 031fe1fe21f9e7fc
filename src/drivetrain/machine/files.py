"""Atomic file writes, clear errors when a disk or its permissions prevent them, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivetrain.errors import StorageError

#: Errors from the disk or its permissions: full, over quota, read-only, forbidden, broken, too large.
_STORAGE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.EMFILE}
)
_PROBE = bytes(64 * 1024)
#: How a user chooses the folder of a run, for :func:`explained`.
WORK_DIR = "work_dir=... names that of a run"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file next to ``path`` to write into; it is renamed to ``path`` when the block ends, and removed if it fails.

    A reader sees either the old or the new content, never part of it.

    Raises:
        StorageError: the file cannot be written.
    """
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=f".partial{path.suffix}")
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is absent or damaged, or contains something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def explained(folder: Path, remedy: str = "") -> Iterator[None]:
    """Within the block, turn errors caused by the disk or its permissions into one that names the folder and a remedy.

    Libraries report such errors in their own words ("iostream error"). If one fails because of such an error,
    or the folder turns out not to accept even a small file, that is the reason given.

    Args:
        folder: the folder being written to; it need not exist yet.
        remedy: how the user chooses another folder, such as :data:`WORK_DIR`; that of the innermost block is given.

    Raises:
        StorageError: something cannot be written.
    """
    try:
        yield
    except StorageError as error:
        if not remedy or error.remedy:
            raise
        raise _with_remedy(error, remedy) from error.__cause__
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        raise _with_remedy(_storage_error(error, folder), remedy) from error
    except Exception as error:
        reason = _cause(error) or _refusal(folder)
        if reason is None:
            raise
        raise _with_remedy(_storage_error(reason, folder), remedy) from error


def _storage_error(error: OSError, folder: Path) -> StorageError:
    place = Path(error.filename) if isinstance(error.filename, str) and error.filename else folder
    place = place if place.is_dir() else place.parent
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        way = f"{_free(place)} Free some space there, or choose another folder"
    else:
        way = "Choose a writable folder"
    found = StorageError(f"{str(place)!r} cannot be written: {reason}. {way}.")
    found.errno = error.errno
    return found


def _with_remedy(error: StorageError, remedy: str) -> StorageError:
    """The same error, with the remedy at its end."""
    found = StorageError(f"{str(error).removesuffix('.')}: {remedy}.") if remedy else error
    found.errno, found.remedy = error.errno, remedy
    return found


def _cause(error: BaseException) -> OSError | None:
    """The disk error behind an error of a library."""
    found = error.__cause__ or error.__context__
    while found is not None and not (isinstance(found, OSError) and found.errno in _STORAGE):
        found = found.__cause__ or found.__context__
    return found


def _free(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{shutil.disk_usage(_existing(folder)).free / 1e6:.1f} MB are free on its disk."
    return ""


def _refusal(folder: Path) -> OSError | None:
    """The error with which the folder rejects a small file; ``None`` if it accepts one."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)) as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error if error.errno in _STORAGE else None
    return None


def _existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path.cwd())


def cache_dir() -> Path:
    """The cache folder of drivetrain; it need not exist yet, and it may be deleted at any time.

    ``DRIVETRAIN_CACHE`` sets it directly; otherwise it is the folder ``drivetrain`` in ``XDG_CACHE_HOME``, or in the
    operating system's usual place for caches.
    """
    if chosen := os.environ.get("DRIVETRAIN_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "drivetrain"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "drivetrain" / "cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "drivetrain"
