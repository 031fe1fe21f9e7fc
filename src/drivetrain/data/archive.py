"""Zip and tar archives, unpacked once into the user's cache."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from drivetrain.data.cache_entries import mark_used
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataFormatError
from drivetrain.machine.files import cache_dir, explained

_MOST_RATIO = 200  # unpacked to packed bytes; images hardly compress, so anything above this is not a data set
_SMALL = 1 << 30  # below this the ratio does not matter
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
    EOFError,
)


def extracted(path: Path) -> Path:
    """The folder with the unpacked content; it is unpacked again only if the archive has changed.

    Raises:
        DataFormatError: the archive is damaged, encrypted, or has an entry that would be written outside the folder.
    """
    info = path.stat()
    key = fingerprint_of([str(path.absolute()), str(info.st_size), str(info.st_mtime_ns)])
    target = cache_dir() / "archives" / f"{path.stem}-{key}"
    if target.is_dir():
        mark_used(target)
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with explained(target.parent):
            partial.mkdir(parents=True)
            if path.name.lower().endswith(".zip"):
                _unzip(path, partial)
            else:
                _untar(path, partial)
            partial.rename(target)
    except _DAMAGED as error:
        raise DataFormatError(f"{path} cannot be unpacked: {error}. Pack it again as a plain .zip.") from error
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _unzip(path: Path, target: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            _refuse_outside(path, entry.filename)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise DataFormatError(f"{path} has the link {entry.filename!r}; links are not unpacked.")
        _refuse_bomb(path, (e.file_size for e in entries), sum(e.compress_size for e in entries))
        archive.extractall(target)  # noqa: S202 - every entry was looked at above


def _untar(path: Path, target: Path) -> None:
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
        for entry in entries:
            _refuse_outside(path, entry.name)
            if not (entry.isfile() or entry.isdir()):
                raise DataFormatError(
                    f"{path} has {entry.name!r}, neither a file nor a folder; links and devices are not unpacked."
                )
        _refuse_bomb(path, (entry.size for entry in entries), path.stat().st_size)
        archive.extractall(target, filter="data")


def _refuse_outside(path: Path, name: str) -> None:
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or ":" in (place.parts or ("",))[0]:
        raise DataFormatError(f"{path} has the entry {name!r}, which points out of the archive.")


def _refuse_bomb(path: Path, sizes: Iterable[int], packed: int) -> None:
    """Refuse an archive that expands far more than images do, or to more than the disk has room for."""
    unpacked, packed = sum(sizes), max(packed, 1)
    if unpacked > max(_SMALL, _MOST_RATIO * packed):
        raise DataFormatError(f"{path} would unpack from {packed} to {unpacked} bytes, more than any set of images.")
    free = shutil.disk_usage(cache_dir()).free
    if unpacked > free:
        raise DataFormatError(
            f"{path} would unpack to {unpacked} bytes, but {cache_dir()} has room for {free}. Make room, or set "
            "DRIVETRAIN_CACHE to a folder on another disk."
        )
