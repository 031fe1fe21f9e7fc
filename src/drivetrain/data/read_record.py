"""What a reader returns before anything is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from drivetrain.data.object_columns import ObjectColumns
from drivetrain.types import Task

SUBSET_SPELLINGS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "default": "train",
    "": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "eval": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def subset_name(written: str) -> str:
    """The canonical name of a subset: ``train``, ``val``, ``test``, or the name as written.

    A trailing year is ignored: ``val2017`` is ``val``.
    """
    name = written.strip()
    return SUBSET_SPELLINGS.get(re.sub(r"(?<=[a-z])(19|20)\d\d$", "", name.lower()), name)


@dataclass(slots=True)
class Record:
    """One image as described by the source; plain lists, so that it is cheap to create.

    Attributes:
        path: the image file.
        subset: canonical name.
        size: ``(height, width)`` stated by the annotation, ``None`` if not stated.
        image_id: the number in the source; ``None`` to number the images in order.
        labels: numbers of the image's labels.
        boxes: flat ``x1, y1, x2, y2`` of each object, or ``None`` if objects are not annotated.
        box_labels: one number for each object.
        polygons: for each object its rings, each a flat list ``x, y, x, y, ...``.
        rles: for each object a COCO run-length dict or ``None``.
        keypoints: for each object a flat list ``x, y, visibility, ...``.
        area: of each object, in square pixels; ``None`` to compute it.
        iscrowd: for each object; ``None`` means no crowds.
        scores: of predicted objects, or of predicted labels where there are no objects.
        track_ids: the number of each object that is followed over a video, -1 for others.
        mask_path: the class map or the defect mask.
        anomalous: whether the image shows an anomaly.
        normalised: whether the coordinates are fractions of the image size.
        row: the index of the image's objects, if the reader returns them as columns.
    """

    path: str
    subset: str = "train"
    size: tuple[int, int] | None = None
    image_id: int | None = None
    labels: list[int] = field(default_factory=list)
    boxes: list[float] | None = None
    box_labels: list[int] | None = None
    polygons: list[list[list[float]]] | None = None
    rles: list[dict[str, object] | None] | None = None
    keypoints: list[list[float]] | None = None
    area: list[float | None] | None = None
    iscrowd: list[bool] | None = None
    scores: list[float] | None = None
    track_ids: list[int] | None = None
    mask_path: str | None = None
    anomalous: bool | None = None
    normalised: bool = False
    row: int | None = None


@dataclass(slots=True)
class Parsed:
    """Everything that a reader found.

    Attributes:
        records: one per image.
        label_names: the name of each label, by its number.
        task: what the annotations are for.
        format: the name of the format.
        notes: what the user should know.
        skipped: ``(path, reason)`` of images that the reader skipped.
        keypoint_names: the name of each keypoint.
        watched: folders and files outside the source that the result depends on.
        used: image files other than those of the records that were read, such as masks.
        left_out: folder below the root -> why its images were not read.
        annotated: whether anything is known about the images.
        objects: the objects as columns, indexed by the ``row`` of each record, if the records do not have them.
    """

    records: list[Record]
    label_names: list[str]
    task: Task
    format: str
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    keypoint_names: tuple[str, ...] = ()
    watched: list[Path] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    annotated: bool = True
    objects: ObjectColumns | None = None

    def spread_objects(self) -> None:
        """Give each record its objects, for code that handles single ones."""
        if self.objects is None:
            return
        lists = self.objects.lists()
        for record in self.records:
            assert record.row is not None
            for name, values in lists[record.row].items():
                setattr(record, name, values)
            record.row = None
        self.objects = None


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What the user requested of a reader.

    Attributes:
        task: the task, or ``None`` to infer it.
        normal: lower-case names of the classes that are not anomalies; empty for the usual names.
        strict: whether a defect in the data is an error.
        allow_pickle: whether pickle-based formats may be opened.
        file: the annotation file, if one was given instead of a folder.
        format: the given format, or ``""``.
    """

    task: Task | None = None
    normal: tuple[str, ...] = ()
    strict: bool = False
    allow_pickle: bool = False
    file: Path | None = None
    format: str = ""
