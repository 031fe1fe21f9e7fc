"""DOTA: ``<subset>/images`` and ``<subset>/labelTxt`` with four corners, the label and a difficulty on each line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivetrain.data.tasks import has_corners
from drivetrain.errors import DataError
from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write one text file per image, with the corners of oriented boxes, or of upright ones.

    The format has neither scores nor crowds: crowds are skipped. It splits lines at spaces, so spaces in a label
    become ``-``, as in DOTA's own "small-vehicle".

    Raises:
        DataError: there are no objects, or two labels would become one.
    """
    if not (data.object_counts > 0).any():
        raise DataError("format='dota' stores boxes, and this data set has none. Use format='coco' or 'datumaro'.")
    names = ["-".join(name.split()) for name in data.label_names]
    if len(set(names)) < len(names):
        raise DataError("format='dota' has no spaces in labels, and without them two labels are the same. Rename one.")
    oriented = has_corners(data)
    for row, sample in enumerate(data):
        images.place(row, folder / sample.subset / "images")
        labels = folder / sample.subset / "labelTxt"
        labels.mkdir(exist_ok=True)
        lines = "".join(f"{line}\n" for line in _lines(sample, names, oriented=oriented))
        (labels / f"{images.stems[row]}.txt").write_text(lines, encoding="utf-8")


def _lines(sample: Sample, names: list[str], *, oriented: bool) -> list[str]:
    lines = []
    for index, label in enumerate(() if sample.box_labels is None else sample.box_labels.tolist()):
        if sample.iscrowd is not None and sample.iscrowd[index]:
            continue
        if oriented and sample.polygons is not None:
            corners = sample.polygons[index][0].reshape(-1).tolist()
        else:
            assert sample.boxes is not None
            x1, y1, x2, y2 = sample.boxes[index].tolist()
            corners = [x1, y1, x2, y1, x2, y2, x1, y2]
        lines.append(" ".join([*(f"{value:.9g}" for value in corners), names[label], "0"]))
    return lines
