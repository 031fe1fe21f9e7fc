"""Fails unless exactly one OpenCV distribution is installed, it is the headless one, and it works."""

from __future__ import annotations

import sys
from importlib.metadata import distributions


def main() -> str | None:
    """The problem, if any; installed packages are checked first, as two of them overwrite each other's files."""
    found = {(dist.name or "").lower().replace("_", "-") for dist in distributions()}
    wheels = sorted(name for name in found if name.startswith("opencv-") and "python" in name)
    if wheels != ["opencv-python-headless"]:
        return f"OpenCV: expected opencv-python-headless alone, found {wheels}"
    import cv2

    if not any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()):
        return f"OpenCV: {cv2.__file__} is not the headless build"
    return None


if __name__ == "__main__":
    sys.exit(main())
