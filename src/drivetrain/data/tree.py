"""The files of a data set, listed once."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from drivetrain.images.file import is_hidden
from drivetrain.images.read import IMAGE_SUFFIXES


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") else ""


def is_image(name: str) -> bool:
    """Whether the file name is that of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES


class Tree:
    """A folder and everything below it, hidden files left out.

    Args:
        root: the folder.

    Attributes:
        root: the folder, absolute.
        files: path below the root (with ``/``) -> ``(bytes, modification time in ns)``, sorted.
        folders: every folder below the root, sorted.
        closed: folders below the root that may not be listed.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links out of the folder
        files: dict[str, tuple[int, int]] = {}
        folders: list[str] = []
        self.closed: list[str] = []
        for name, entry in _walk(str(self.root), "", {os.path.realpath(self.root)}, self.closed):
            if entry is None:
                folders.append(name)
            else:
                files[name] = entry
        self.files = {name: files[name] for name in sorted(files)}
        self.folders = sorted(folders)

    @cached_property
    def images(self) -> list[str]:
        """The image files, sorted."""
        return self.with_suffix(*IMAGE_SUFFIXES)

    @cached_property
    def image_folders(self) -> dict[str, list[str]]:
        """Folder below the root -> the images directly in it, for folders that have some."""
        found: dict[str, list[str]] = {}
        for name in self.images:
            found.setdefault(name.rpartition("/")[0], []).append(name)
        return found

    @cached_property
    def _by_suffix(self) -> dict[str, list[str]]:
        """The names of the files by their suffix: each reader asks for some, of all files."""
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(suffix_of(name), []).append(name)
        return found

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """Folder below the root (``""`` for the root) -> the names of the files in it."""
        grouped: dict[str, list[str]] = {"": []}
        for folder in self.folders:
            grouped[folder] = []
        for path in self.files:
            folder, _, name = path.rpartition("/")
            grouped[folder].append(name)
        return grouped

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the names, sizes and modification times."""
        return fingerprint_of(f"{name}\0{size}\0{time}" for name, (size, time) in self.files.items())

    def top_folders(self) -> list[str]:
        """The folders directly below the root."""
        return [name for name in self.folders if "/" not in name]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files with one of the lower-case suffixes, sorted."""
        held = [self._by_suffix[suffix] for suffix in suffixes if suffix in self._by_suffix]
        return list(held[0]) if len(held) == 1 else sorted(name for names in held for name in names)

    def absolute(self, name: str) -> str:
        """The absolute path of a file below the root."""
        return f"{self.root}{os.sep}{name.replace('/', os.sep)}" if name else str(self.root)

    def relative(self, path: str | Path) -> str | None:
        """The name below the root of an absolute path, or ``None`` if it lies elsewhere."""
        normal = os.path.normpath(path)
        prefix = f"{self.root}{os.sep}"
        return normal[len(prefix) :].replace(os.sep, "/") if normal.startswith(prefix) else None

    def exists(self, path: str) -> bool:
        """Whether the absolute path is a file; files below the root cost no look at the disk."""
        name = self.relative(path)
        return name in self.files if name is not None else Path(path).is_file()


def fingerprint_of(lines: Iterable[str]) -> str:
    """A short hash of lines of text, the same in every process."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _walk(folder: str, prefix: str, seen: set[str], closed: list[str]) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Files and folders below a folder; links that lead nowhere or in a circle are left out, closed folders noted."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        closed.append(prefix.rstrip("/"))
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        name = prefix + entry.name
        try:
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in seen:
                    yield name, None
                    inner = seen | {real} if entry.is_symlink() else seen
                    yield from _walk(entry.path, name + "/", inner, closed)
            elif entry.is_file():
                stat = entry.stat()
                yield name, (stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link to itself
                raise
