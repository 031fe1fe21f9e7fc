"""A simulated disk that fails at a chosen operation, to test what a full, broken or forbidden one leaves behind."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

#: Errors of a disk: full, over quota, read-only, forbidden, broken.
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO")}


class FailingDisk:
    """Counts operations below a folder, and makes them fail from a chosen one on.

    An operation opens a file for writing, writes to it, creates a folder, renames, or calls ``fsync``. Operations in
    C or C++ libraries are not intercepted.

    Args:
        folder: operations elsewhere are not affected.
        code: the ``errno`` of the error.
        at: the number of the operation that fails, from 1; ``None`` only counts.
        lasting: whether all later operations fail too.

    Attributes:
        operations: the operations so far, as (kind, file name).
    """

    def __init__(self, folder: Path, code: int = errno.ENOSPC, at: int | None = None, *, lasting: bool = False) -> None:
        self.folder, self.code, self.at, self.lasting = str(folder), code, at, lasting
        self.operations: list[tuple[str, str]] = []

    @property
    def fired(self) -> bool:
        """Whether an operation has failed."""
        return self.at is not None and len(self.operations) >= self.at

    def covers(self, path: Any) -> bool:
        """Whether a path is in the folder."""
        return isinstance(path, str | Path) and str(path).startswith(self.folder)

    def hit(self, kind: str, path: Any) -> None:
        """Count an operation.

        Raises:
            OSError: it is the one that fails, or follows it and the fault lasts.
        """
        if not self.covers(path):
            return
        self.operations.append((kind, Path(path).name))
        count = len(self.operations)
        if self.at is not None and (count == self.at or (self.lasting and count > self.at)):
            raise OSError(self.code, os.strerror(self.code), str(path))

    @contextlib.contextmanager
    def mounted(self) -> Iterator[FailingDisk]:
        """Within the block, route the operations of this process through the disk."""
        real_open, real_os_open, real_sync, real_mkdir = io.open, os.open, os.fsync, os.mkdir

        def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            if set(mode).isdisjoint("wax+"):
                return real_open(file, mode, *args, **more)
            self.hit("open", file)
            handle = real_open(file, mode, *args, **more)
            return _Written(handle, self) if self.covers(file) else handle

        def os_opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self.hit("open", path)
            return real_os_open(path, flags, *args, **more)

        def synced(handle: Any) -> None:
            self.hit("fsync", str(Path(f"/proc/self/fd/{getattr(handle, 'fileno', lambda: handle)()}").readlink()))
            real_sync(handle)

        def made(path: Any, *args: Any, **more: Any) -> None:
            if not Path(path).exists():
                self.hit("mkdir", path)
            real_mkdir(path, *args, **more)

        with contextlib.ExitStack() as stack:
            for place, name, new in (
                (builtins, "open", opened),
                (io, "open", opened),
                (os, "open", os_opened),
                (os, "replace", self._renaming(os.replace)),
                (os, "rename", self._renaming(os.rename)),
                (os, "fsync", synced),
                (os, "mkdir", made),
            ):
                stack.enter_context(mock.patch.object(place, name, new))
            yield self

    def _renaming(self, real: Any) -> Any:
        def renamed(source: Any, target: Any, **more: Any) -> None:
            self.hit("rename", target)
            real(source, target, **more)

        return renamed


class _Written:
    """A file whose writes count as operations of the disk."""

    def __init__(self, file: Any, disk: FailingDisk) -> None:
        self._file, self._disk = file, disk

    def write(self, content: Any) -> Any:
        self._disk.hit("write", self._file.name)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)
