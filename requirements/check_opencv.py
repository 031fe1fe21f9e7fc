"""Fails unless exactly one OpenCV wheel is installed, the headless one, and works."""

from __future__ import annotations

import sys
from importlib.metadata import distributions


def main() -> int:
    """Look at the installed packages first, since two of them overwrite each other's files without a word."""
    found = {(dist.name or "").lower().replace("_", "-") for dist in distributions()}
    wheels = sorted(name for name in found if name.startswith("opencv-") and "python" in name)
    if wheels != ["opencv-python-headless"]:
        print(f"OpenCV: expected opencv-python-headless alone, found {wheels}", file=sys.stderr)
        return 1
    import cv2

    if "GUI:                           NONE" not in cv2.getBuildInformation():
        print(f"OpenCV: {cv2.__file__} is not the headless build", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
