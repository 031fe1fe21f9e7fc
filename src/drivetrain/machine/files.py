"""Files written whole or not at all, and the folder of what can be made again."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never a part, whatever happens in between."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def cache_dir() -> Path:
    """The folder of the user's caches; it need not exist yet, and it may be deleted at any time.

    ``DRIVETRAIN_CACHE`` names it outright; otherwise it is the folder ``drivetrain`` in ``XDG_CACHE_HOME``, or in the
    place where the operating system keeps caches.
    """
    if chosen := os.environ.get("DRIVETRAIN_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "drivetrain"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "drivetrain" / "cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "drivetrain"
