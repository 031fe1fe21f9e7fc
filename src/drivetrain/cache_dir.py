"""Where drivetrain keeps what it can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


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
