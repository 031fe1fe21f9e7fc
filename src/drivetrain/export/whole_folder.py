"""Writing folders atomically: complete under their name, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivetrain.machine.files import explained


@contextmanager
def building(final: Path) -> Iterator[Path]:
    """A folder next to the final one, on the same file system, which is deleted unless it is renamed."""
    with explained(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".partial"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_name(folder: Path, final: Path) -> None:
    """Rename; an old artefact is moved away first and deleted only when the new one is in place."""
    if not final.exists():
        folder.rename(final)
        return
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    final.rename(old)
    try:
        folder.rename(final)
    except OSError:
        old.rename(final)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()
