"""Saving drawn predictions as picture files, one after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.frames import FrameReader
from drivetrain.machine import files
from drivetrain.report.drawing import draw, image_of
from drivetrain.types import Prediction, Predictions

SUFFIXES = (".jpg", ".png", ".webp")


def save_drawings(
    predictions: Predictions | Iterable[Prediction],
    directory: str | Path,
    *,
    label_names: Sequence[str] | None = None,
    images: Iterable[NDArray[np.uint8]] | None = None,
    suffix: str = ".jpg",
    min_score: float = 0.0,
    opacity: float = 0.45,
) -> list[Path]:
    """Draw each prediction on its image and save it; only one image is in memory at a time.

    The pictures keep the folders of their images below their common folder. If two would get the same
    name (``a.jpg`` and ``a.png``), the later one gets a number. Each file is written atomically.

    Args:
        predictions: the answers; frames of a video (``clip.mp4#12``) are read from the video again.
        directory: the folder for the pictures; created if needed, replacing pictures of the same name.
        label_names: the name of each label; by default those of the predictions.
        images: the images in the order of the predictions; by default those kept with the predictions, or read from
            their files.
        suffix: ``".jpg"``, ``".png"`` or ``".webp"``.
        min_score: see :func:`drivetrain.report.draw`.
        opacity: likewise.

    Returns:
        The files, in the order of the predictions.

    Raises:
        DataError: a prediction has neither a file nor a kept image and ``images`` was not given (or is too short), a
            picture would replace the image it is drawn on, or the suffix is not supported.
        ImageError: an image cannot be read.
    """
    if suffix not in SUFFIXES:
        raise DataError(f"suffix={suffix!r}; allowed: {', '.join(SUFFIXES)}.")
    items = predictions if isinstance(predictions, Predictions) else tuple(predictions)
    targets = picture_files([item.path for item in items], Path(directory), suffix)
    given = iter(images) if images is not None else None
    frames = FrameReader()
    for item, target in zip(items, targets, strict=True):
        pixels = image_of(item, frames=frames) if given is None else _next(given, item)
        write_picture(draw(pixels, item, label_names, min_score=min_score, opacity=opacity), target)
    return targets


def _next(images: Iterator[NDArray[np.uint8]], item: Prediction) -> NDArray[np.uint8]:
    image = next(images, None)
    if image is None:
        raise DataError(f"images has fewer images than there are predictions; none is left for {item.path!r}.")
    return image


def picture_files(paths: Sequence[str], directory: Path, suffix: str) -> list[Path]:
    """A file for each image below a folder, all distinct.

    Args:
        paths: of the images, ``""`` for arrays; they keep their folders below the one that all share.
        directory: where the files are to lie.
        suffix: of the files.

    Raises:
        DataError: a file would replace its image.
    """
    absolute = [os.path.abspath(path) if path else "" for path in paths]  # noqa: PTH100  (no links are followed)
    parents = {os.path.dirname(path) for path in absolute if path}  # noqa: PTH120
    try:
        root = os.path.commonpath(parents) if parents else ""
    except ValueError:  # on different drives
        root = ""
    used: set[str] = set()
    targets = []
    for number, path in enumerate(absolute):
        relative = Path(os.path.relpath(path, root) if root else Path(path).name) if path else Path(f"{number:06}")
        stem = relative.name.replace("#", "_") if "#" in relative.name else relative.stem
        target = directory / relative.parent / f"{stem}{suffix}"
        repeat = 2
        while str(target).casefold() in used:
            target = target.with_name(f"{stem}-{repeat}{suffix}")
            repeat += 1
        used.add(str(target).casefold())
        if path and os.path.abspath(target) == path:  # noqa: PTH100
            raise DataError(f"the picture would replace its image {path!r}; choose another directory.")
        targets.append(target)
    return targets


def write_picture(picture: NDArray[np.uint8], target: Path) -> None:
    """Write ``(H, W, 3) uint8`` RGB to a ``.jpg``, ``.png`` or ``.webp`` file, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    from PIL import Image

    options: dict[str, Any] = {"quality": 92, "subsampling": 0} if target.suffix.lower() in (".jpg", ".jpeg") else {}
    with files.whole_file(target) as unfinished:
        Image.fromarray(picture).save(unfinished, **options)
