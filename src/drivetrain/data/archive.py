"""Zip archives, unpacked once into the user's cache."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataFormatError
from drivetrain.machine.files import cache_dir, explained

_MOST_RATIO = 200  # unpacked to packed bytes; images hardly shrink, so more than this is no data set
_SMALL = 1 << 30  # below this the ratio does not matter


def extracted(path: Path) -> Path:
    """The folder with the unpacked content; unpacked again only if the archive changed.

    Raises:
        DataFormatError: the archive is damaged, encrypted, or has an entry that would be written elsewhere.
    """
    info = path.stat()
    key = fingerprint_of([str(path.absolute()), str(info.st_size), str(info.st_mtime_ns)])
    target = cache_dir() / "archives" / f"{path.stem}-{key}"
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with explained(target.parent):
            partial.mkdir(parents=True)
            with zipfile.ZipFile(path) as archive:
                _refuse_unsafe(path, archive)
                archive.extractall(partial)
            partial.rename(target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise DataFormatError(f"{path} cannot be unpacked: {error}. Pack it again as a plain .zip.") from error
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _refuse_unsafe(path: Path, archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0]:
            raise DataFormatError(f"{path} has the entry {entry.filename!r}, which points out of the archive.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataFormatError(f"{path} has the link {entry.filename!r}; links are not unpacked.")
    unpacked, packed = sum(e.file_size for e in entries), max(sum(e.compress_size for e in entries), 1)
    if unpacked > max(_SMALL, _MOST_RATIO * packed):
        raise DataFormatError(f"{path} would unpack from {packed} to {unpacked} bytes, which no set of images does.")
