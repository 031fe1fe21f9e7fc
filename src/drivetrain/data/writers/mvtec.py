"""The folders of MVTec AD: ``train/good``, ``test/good``, ``test/<defect>`` and ``ground_truth/<defect>``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drivetrain.errors import DataError
from drivetrain.images.masks import has_pixel_truth, rasterise
from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

_NORMAL, _UNNAMED = "good", "anomalous"


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write each image to the folder of its kind, and the outline of its defects as a mask of 0 and 255.

    The layout has no validation subset: all images except those of ``train`` go to ``test``. It stores no scores.

    Raises:
        DataError: it is unknown whether an image is normal, a training image is not normal, or a label cannot be a
            folder name.
    """
    from PIL import Image

    for row, sample in enumerate(data):
        kind = _kind(sample, data)
        train = sample.subset == "train"
        if train and kind != _NORMAL:
            raise DataError(
                f"format='mvtec' trains only on normal images, but {sample.path} of the subset 'train' is not normal. "
                "Use format='coco', or split the data again: splits=..."
            )
        images.place(row, folder / ("train" if train else "test") / kind)
        if kind != _NORMAL and has_pixel_truth(sample):
            target = folder / "ground_truth" / kind / f"{images.stems[row]}_mask.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rasterise(sample).astype(np.uint8) * 255).save(target)


def _kind(sample: Sample, data: Dataset) -> str:
    """The folder of an image: its kind of defect, or that of the normal images."""
    if sample.anomalous is None:
        raise DataError(
            f"format='mvtec' needs normal and anomalous images, but it is unknown which {sample.path} is. Read the "
            "data with task='anomaly', and the names of the normal classes as normal=..."
        )
    if not sample.anomalous:
        return _NORMAL
    labels = sample.labels if len(sample.labels) or sample.box_labels is None else sample.box_labels
    names = [data.label_names[int(label)] for label in labels]
    name = next((name for name in names if name.lower() != _NORMAL), _UNNAMED)
    if name in (".", "..") or "/" in name or "\\" in name:
        raise DataError(f"format='mvtec': the label {name!r} cannot be a folder name.")
    return name
