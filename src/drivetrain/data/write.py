"""Writing a data set in a common format."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from drivetrain.data.mask_objects import with_mask_objects
from drivetrain.data.writers import WRITERS
from drivetrain.errors import DataError, OptionError, near
from drivetrain.machine.files import explained
from drivetrain.machine.packages import import_object
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def write_dataset(
    data: Dataset,
    path: str | Path,
    format: str,  # noqa: A002
    *,
    save_media: bool = False,
) -> Path:
    """Write the annotations, and place the images where the format expects them.

    The folder appears complete or not at all.

    Args:
        data: the data set.
        path: a folder that does not exist yet, or is empty.
        format: ``"coco"`` (keeps masks, crowds, keypoints and scores), ``"yolo"``, ``"voc"``, ``"cvat"``, ``"dota"``,
            ``"mvtec"``, ``"label_studio"``, ``"labelme"``, ``"parquet"`` (keeps all), ``"datumaro"`` or
            ``"image_folder"``. Class maps become masks of objects in formats without maps.
        save_media: copy the images; otherwise links are made, which break when the images move.

    Returns:
        The folder.

    Raises:
        OptionError: the format is unknown.
        DataError: the folder is not empty, the format cannot store these annotations, or links cannot be made.
        StorageError: the folder cannot be written.
    """
    if format not in WRITERS:
        raise OptionError(f"format={format!r} cannot be written.{near(format, WRITERS)} Allowed: {', '.join(WRITERS)}.")
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"path={str(target)!r} already has something in it. Name a folder that does not exist yet.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with explained(target.parent):
            partial.mkdir(parents=True)
            held = with_mask_objects(data) if _masks_become_objects(data, format) else data
            import_object(WRITERS[format])(held, partial, ImagePlacer(held, copy=save_media))
            if target.exists():
                target.rmdir()
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _masks_become_objects(data: Dataset, format: str) -> bool:  # noqa: A002
    """Whether a format has masks of objects but no maps; in COCO there is no place for the kind of a defect."""
    if format == "coco":
        return data.task is Task.SEMANTIC_SEGMENTATION
    return format in ("cvat", "datumaro", "label_studio", "labelme")


class ImagePlacer:
    """Gives every image a unique name and places the file, or a link to it, where a format expects it.

    Args:
        data: the images.
        copy: copy the files instead of linking to them.

    Attributes:
        stems: the unique name of each image, without suffix (unique regardless of case).
        suffixes: the suffix of each image, with its dot.
    """

    def __init__(self, data: Dataset, *, copy: bool) -> None:
        self._paths = data.paths
        self._copy = copy
        self.stems: list[str] = []
        self.suffixes = [Path(path).suffix for path in data.paths]
        taken: set[str] = set()
        for index, path in enumerate(data.paths):
            stem = Path(path).stem
            while stem.lower() in taken:
                stem = f"{Path(path).stem}_{index}" if stem == Path(path).stem else f"{stem}_"
            taken.add(stem.lower())
            self.stems.append(stem)

    def name(self, index: int) -> str:
        """The name of one image, with its suffix."""
        return self.stems[index] + self.suffixes[index]

    def place(self, index: int, folder: Path, *, hard: bool = False) -> None:
        """Place one image in the folder, under its name.

        Args:
            index: the index of the image.
            folder: where to place it.
            hard: make hard links, for readers that refuse to follow a link out of the folder.

        Raises:
            DataError: links cannot be made here.
        """
        target = folder / self.name(index)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = Path(self._paths[index]).absolute()
        if self._copy:
            shutil.copyfile(source, target)
            return
        try:
            if hard:
                target.hardlink_to(source.resolve())
            else:
                target.symlink_to(source)
        except OSError as error:
            raise DataError(f"{target} cannot be linked to {source} ({error}). Give save_media=True.") from error
