"""The formats and where their readers are; a reader is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivetrain.data.read_record import Parsed, ReadRequest
from drivetrain.data.tree import Tree
from drivetrain.machine.packages import import_object

Detect = Callable[[Tree], bool]
"""Says from the names of the files, and a glance into few of them, whether a folder may have a format."""

Read = Callable[[Tree, ReadRequest], Parsed]
"""Reads the annotations of a folder; what is wrong with single images is left to the checks."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: what users call it.
        module: the module with ``detect`` and ``read``.
        tier: formats of a lower tier are tried only if none of a higher one reads anything.
        guess: whether being detected says little, so that failing to read it is no fault of the data.
    """

    name: str
    module: str
    tier: int
    guess: bool = False

    @property
    def detect(self) -> Detect:
        """The detector."""
        found: Detect = import_object(f"{self.module}:detect")
        return found

    @property
    def read(self) -> Read:
        """The reader."""
        found: Read = import_object(f"{self.module}:read")
        return found


_HERE = "drivetrain.data.readers"

FORMATS = {
    entry.name: entry
    for entry in (
        # the most specific first
        Format("real_iad", f"{_HERE}.real_iad", 3),
        Format("mvtec", f"{_HERE}.mvtec", 3),
        Format("anomaly_folder", f"{_HERE}.anomaly_folder", 3),
        Format("voc", f"{_HERE}.voc", 3),
        Format("coco", f"{_HERE}.coco", 3),
        Format("yolo", f"{_HERE}.yolo", 3),
        Format("dota", f"{_HERE}.dota", 3),
        Format("kitti", f"{_HERE}.kitti", 3),
        Format("labelme", f"{_HERE}.labelme", 3),
        Format("via", f"{_HERE}.via", 3),
        Format("label_studio", f"{_HERE}.label_studio", 3),
        Format("market1501", f"{_HERE}.market1501", 3),
        Format("celeba", f"{_HERE}.celeba", 3),
        Format("mpii", f"{_HERE}.mpii", 3),
        Format("ade20k", f"{_HERE}.ade20k", 3),
        Format("mots", f"{_HERE}.mots", 3),
        Format("parquet", f"{_HERE}.parquet", 3),
        Format("csv", f"{_HERE}.csv", 3),
        Format("mask_folder", f"{_HERE}.mask_folder", 3),
        Format("datumaro", f"{_HERE}.datumaro", 2, guess=True),
        Format("image_folder", f"{_HERE}.image_folder", 1),
        Format("unannotated", f"{_HERE}.unannotated", 0),
    )
}

# the formats whose whole data set is one .json file, by words that such a file has; any other is COCO
JSON_WORDS = {
    "real_iad": ('"normal_class"', '"image_path"'),
    "labelme": ('"shapes"', '"imagePath"'),
    "via": ('"shape_attributes"', '"region_attributes"'),
    "label_studio": ('"original_width"', '"to_name"'),
}

FILE_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".json": "coco", ".yaml": "yolo", ".yml": "yolo", ".parquet": "parquet",
}  # fmt: skip
