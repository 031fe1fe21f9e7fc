"""Class folders: ``<subset>/<class>/<image>``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivetrain.errors import DataError

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Put each image into the folder of its single label.

    Raises:
        DataError: an image does not have exactly one label, or a label cannot be a folder name.
    """
    bad = [name for name in data.label_names if name in ("", ".", "..") or "/" in name or "\\" in name]
    if bad:
        raise DataError(f"format='image_folder': the label {bad[0]!r} cannot be a folder name.")
    for row, sample in enumerate(data):
        if len(sample.labels) != 1:
            raise DataError(
                f"format='image_folder' needs one label for each image, but {sample.path} has {len(sample.labels)}. "
                "Use format='coco'."
            )
        images.place(row, folder / sample.subset / data.label_names[int(sample.labels[0])])
