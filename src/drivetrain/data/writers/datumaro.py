"""VOC, CVAT and Datumaro's own format, written by Datumaro; the last two keep scores and tracks, as attributes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.data.tasks import has_corners
from drivetrain.errors import DataError
from drivetrain.images import rle as run_length
from drivetrain.machine.packages import require
from drivetrain.types import Sample, Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

SCORE = "score"
"""The attribute with the score of a predicted object or label."""
TRACK = "track_id"
"""The attribute with the number of an object that is followed over a video."""
TRACK_IN_CVAT = "track"
"""The same in CVAT, whose writer keeps the other name for its own interpolated tracks."""


def write_voc(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write boxes for VOC, which supports neither keypoints nor outlines of single objects.

    Raises:
        DataError: there are no boxes.
    """
    if not (data.object_counts > 0).any():
        raise DataError("format='voc' stores boxes, and this data set has none. Use format='coco' or 'datumaro'.")
    _export(data, folder, images, "voc_detection", boxes_only=True)
    for row in range(len(data)):
        images.place(row, folder / "JPEGImages")


def write_cvat(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write one ``.xml`` per subset, like CVAT's export; the parts of an object are shapes of one group."""
    _export(data, folder, images, "cvat")
    for row in range(len(data)):
        images.place(row, folder / "images")


def write_datumaro(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write one ``.json`` per subset; oriented boxes become polygons, because Datumaro writes no others."""
    _export(data, folder, images, "datumaro")
    for row, subset in enumerate(data.subset_names.tolist()):
        images.place(row, folder / "images" / subset, hard=True)


def _export(data: Dataset, folder: Path, images: ImagePlacer, name: str, *, boxes_only: bool = False) -> None:
    dm = require("datumaro", "lightning", purpose=f"Writing format={name!r}")
    kind = dm.AnnotationType
    categories: dict[Any, Any] = {kind.label: dm.LabelCategories.from_iterable(data.label_names)}
    scores, tracks = (None, None) if boxes_only else (data.scores, data.track_ids)
    track = TRACK_IN_CVAT if name == "cvat" else TRACK
    for attribute, known in ((SCORE, scores), (track, tracks)):
        if known is not None:
            categories[kind.label].attributes.add(attribute)
    if data.keypoint_names and not boxes_only:
        rows = [(index, list(data.keypoint_names)) for index in range(len(data.label_names))]
        categories[kind.points] = dm.PointsCategories.from_iterable(rows)
    oriented = name == "cvat" and data.task is Task.ORIENTED_DETECTION and has_corners(data)
    items = []
    for row, sample in enumerate(data):
        media = dm.Image.from_file(path=images.name(row), size=sample.size)  # relative: its future location
        given = scores[row] if scores else None
        numbers = (tracks[row] or []) if tracks else []
        followed = [{track: number} if number >= 0 else {} for number in numbers]
        annotations = _annotations(dm, sample, given, followed, boxes_only=boxes_only, oriented=oriented)
        items.append(dm.DatasetItem(images.stems[row], subset=sample.subset, media=media, annotations=annotations))
    logger = logging.getLogger("datumaro")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        dm.Dataset.from_iterable(items, categories=categories).export(str(folder), name, save_media=False)
    finally:
        logger.setLevel(level)


def _annotations(
    dm: Any,
    sample: Sample,
    scores: list[float] | None,
    followed: list[dict[str, int]],
    *,
    boxes_only: bool,
    oriented: bool,
) -> list[Any]:
    """The labels of the image, and each object as a group of annotations."""
    if sample.boxes is None or sample.box_labels is None:
        attributes = [{} if scores is None else {SCORE: score} for score in scores or [0.0] * len(sample.labels)]
        labels = zip(sample.labels, attributes, strict=True)
        return [] if boxes_only else [dm.Label(int(label), attributes=given) for label, given in labels]
    found = [] if boxes_only else [dm.Label(int(label)) for label in sample.labels]
    for index, ((x1, y1, x2, y2), label) in enumerate(zip(sample.boxes.tolist(), sample.box_labels, strict=True)):
        shared: dict[str, Any] = {"label": int(label), "group": index + 1, "attributes": {}}
        if sample.iscrowd is not None and sample.iscrowd[index]:
            shared["attributes"]["is_crowd"] = True
        if scores is not None:
            shared["attributes"][SCORE] = scores[index]
        if followed:
            shared["attributes"] |= followed[index]
        parts = [] if boxes_only else _outlines(dm, sample, index, shared, oriented=oriented)
        if not parts:
            parts = [dm.Bbox(x1, y1, x2 - x1, y2 - y1, **shared)]
        if not boxes_only and sample.keypoints is not None and sample.keypoints[index, :, 2].any():
            if not any(part.type == dm.AnnotationType.bbox for part in parts):
                parts.append(dm.Bbox(x1, y1, x2 - x1, y2 - y1, **shared))
            values = sample.keypoints[index]
            visible = [int(value) for value in values[:, 2]]
            parts.append(dm.Points(values[:, :2].reshape(-1).tolist(), visible, **shared))
        found += parts
    return found


def _outlines(dm: Any, sample: Sample, index: int, shared: dict[str, Any], *, oriented: bool) -> list[Any]:
    if oriented and sample.polygons is not None:
        return [dm.components.annotation.RotatedBbox.from_rectangle(sample.polygons[index][0].tolist(), **shared)]
    if sample.rles is not None and (rle := sample.rles[index]) is not None:
        return [dm.Mask(run_length.decode_mask(rle), **shared)]
    if sample.polygons is not None:
        return [dm.Polygon(ring.reshape(-1).tolist(), **shared) for ring in sample.polygons[index]]
    return []
