"""Reporting all unreadable images at once: repairing them one failed training at a time is tedious."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from drivetrain.errors import ImageError
from drivetrain.images.sources import decode, with_path

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset

#: The subsets that a training reads.
_READ = ("train", "val")
_SHOWN = 20
_SECONDS = 120.0
"""The longest search for more unreadable images; of a very large data set only a part is searched."""


def all_unreadable(data: Dataset, first: ImageError) -> ImageError:
    """The error of a training that met an unreadable image, extended to name all others.

    Args:
        data: with the subsets that were read.
        first: the error of the first such image.

    Returns:
        An error that names the first 20 images, with the reason for each, and the total number; ``first`` if no image
        of the data is at fault.
    """
    paths = [path for name in _READ if name in data.subsets for path in data.subset(name).paths]
    found, looked_at = _search(list(dict.fromkeys(paths)))
    if not found:
        return first
    of = f"the first {looked_at}" if looked_at < len(paths) else f"the {looked_at}"
    more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    lines = "".join(f"\n  {with_path(path, reason)}" for path, reason in found[:_SHOWN])
    return ImageError(
        f"{len(found)} of {of} training and validation images cannot be read. Repair or remove them:{lines}{more}"
    )


def _search(paths: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """``(path, reason)`` of the unreadable images, and the number of images searched."""
    end = time.monotonic() + _SECONDS
    found: list[tuple[str, str]] = []
    readable = 0
    for _ in decode(list(paths), skipped=found):
        readable += 1
        if time.monotonic() > end:
            break
    return found, readable + len(found)
