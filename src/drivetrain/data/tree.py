"""The files of a data set, listed once."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from drivetrain.images.file import is_hidden
from drivetrain.images.read import IMAGE_SUFFIXES

_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG})
_NOWHERE = frozenset({errno.ELOOP, errno.ENOENT})  # a link to itself or to nothing, or a file that has just gone


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") else ""


def is_text(name: str) -> bool:
    """Whether a name is valid text: file names may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_image(name: str) -> bool:
    """Whether the file name is that of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES


class Tree:
    """A folder and everything below it, except hidden files.

    Args:
        root: the folder.

    Attributes:
        root: the folder, absolute.
        folders: every folder below the root, sorted.
        closed: folders below the root that cannot be listed (no permission).
        nameless: how many files were left out because their names are not valid text.
        respelt: path of an image -> its name in the annotations, if spelt differently.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links out of the folder
        self.closed: list[str] = []
        self.respelt: dict[str, str] = {}
        self._lines: list[str] = []  # path, bytes and time of each file, separated by 0: made for hashing
        folders: list[str] = []
        _list(str(self.root), self._lines, folders, self.closed)
        self._lines.sort()
        self.folders = sorted(folders)
        self.nameless = self._without_nameless()

    def _without_nameless(self) -> int:
        """Leave out files whose names are not valid text, which no table can store; returns how many."""
        try:
            "\n".join([*self._lines, *self.folders]).encode()
        except UnicodeEncodeError:
            kept = [line for line in self._lines if is_text(line)]
            count = len(self._lines) - len(kept)
            self._lines, self.folders = kept, list(filter(is_text, self.folders))
            return count
        return 0

    @property
    def count(self) -> int:
        """The number of files."""
        return len(self._lines)

    @cached_property
    def files(self) -> dict[str, tuple[int, int]]:
        """Path below the root (with ``/``) -> ``(bytes, modification time in ns)``, sorted."""
        cells = (line.split("\0") for line in self._lines)
        return {name: (int(size), int(time)) for name, size, time in cells}

    @cached_property
    def images(self) -> list[str]:
        """The image files, sorted."""
        return self.with_suffix(*IMAGE_SUFFIXES)

    @cached_property
    def image_folders(self) -> dict[str, list[str]]:
        """Folder below the root -> the images directly in it, for folders with images."""
        found: dict[str, list[str]] = {}
        for name in self.images:
            found.setdefault(name.rpartition("/")[0], []).append(name)
        return found

    @cached_property
    def _by_suffix(self) -> dict[str, list[str]]:
        """The file names by suffix: each reader asks for some of them."""
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
        return fingerprint_of(self._lines)

    @cached_property
    def _inner_folders(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.folders:
            found.setdefault(name.rpartition("/")[0], []).append(name)
        return found

    def top_folders(self) -> list[str]:
        """The folders directly below the root."""
        return [name for name in self.folders if "/" not in name]

    def folders_in(self, folder: str) -> list[str]:
        """The folders directly in a folder below the root."""
        return self._inner_folders.get(folder, [])

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files with one of the lower-case suffixes, sorted."""
        held = [self._by_suffix[suffix] for suffix in suffixes if suffix in self._by_suffix]
        return list(held[0]) if len(held) == 1 else sorted(name for names in held for name in names)

    def absolute(self, name: str) -> str:
        """The absolute path of a file below the root."""
        return f"{self.root}{os.sep}{name.replace('/', os.sep)}" if name else str(self.root)

    def relative(self, path: str | Path) -> str | None:
        """The name below the root of an absolute path; ``None`` if it is elsewhere."""
        normal = os.path.normpath(path)
        prefix = f"{self.root}{os.sep}"
        return normal[len(prefix) :].replace(os.sep, "/") if normal.startswith(prefix) else None

    def exists(self, path: str) -> bool:
        """Whether the absolute path is a file; for files below the root the disk is not accessed."""
        name = self.relative(path)
        return name in self.files if name is not None else Path(path).is_file()


def fingerprint_of(lines: Iterable[str]) -> str:
    """A short hash of lines of text, the same in every process."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A folder to be listed.

    Attributes:
        path: the absolute path.
        prefix: its name below the root with ``/``; ``""`` for the root.
        seen: the root, and the targets of the links on the way.
        linked: whether there is a link on the way.
    """

    path: str
    prefix: str
    seen: frozenset[str]
    linked: bool = False


def _list(root: str, lines: list[str], folders: list[str], closed: list[str]) -> None:
    """Add a line for each file below a folder, and the folders; those that cannot be opened go to ``closed``."""
    waiting = [_Waiting(root, "", frozenset({os.path.realpath(root)}))]
    while waiting:
        place = waiting.pop()
        try:
            with _opened(place.path) as handle, os.scandir(handle) as entries:
                inner = _list_one(place, entries, lines)
        except OSError as error:
            if error.errno in _CLOSED:
                closed.append(place.prefix.rstrip("/"))
            elif error.errno not in _NOWHERE:
                raise
            continue
        folders += [found.prefix[:-1] for found in inner]
        waiting += inner


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int | str]:
    """A folder to be listed, opened if possible, so that its files are found without resolving its whole path."""
    if os.scandir not in os.supports_fd:
        yield folder
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def _list_one(place: _Waiting, entries: Iterable[os.DirEntry[str]], lines: list[str]) -> list[_Waiting]:
    """Add the lines of the files of a folder, and return the folders in it.

    Links that lead nowhere or in a circle are left out.
    """
    prefix, inner = place.prefix, []
    for entry in entries:
        name = entry.name
        if is_hidden(name):
            continue
        try:
            if entry.is_dir():
                is_link, path = entry.is_symlink(), f"{place.path}{os.sep}{name}"
                real = os.path.realpath(path) if is_link or place.linked else ""
                if real not in place.seen:
                    seen = place.seen | {real} if is_link else place.seen
                    inner.append(_Waiting(path, f"{prefix}{name}/", seen, is_link or place.linked))
            else:
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    lines.append(f"{prefix}{name}\0{found.st_size}\0{found.st_mtime_ns}")
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise
    return inner
