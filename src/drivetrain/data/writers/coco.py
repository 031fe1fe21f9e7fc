"""COCO: ``annotations/instances_<subset>.json`` and ``images/<subset>``, or one file, with scores and tracks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write one file per subset; category ids start at 1, image ids are kept if they are distinct."""
    kind = "person_keypoints" if data.keypoint_names else "instances"
    (folder / "annotations").mkdir()
    for subset in data.subsets:
        rows = [index for index, name in enumerate(data.subset_names) if name == subset]
        for row in rows:
            images.place(row, folder / "images" / subset)
        document = document_of(data, rows, [images.name(row) for row in rows])
        (folder / "annotations" / f"{kind}_{subset}.json").write_text(json.dumps(document), encoding="utf-8")


def document_of(data: Dataset, rows: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """The document for some images.

    Args:
        data: with the annotations.
        rows: which images.
        names: the file name of each image in the document.
    """
    points = list(data.keypoint_names)
    categories: list[dict[str, Any]] = [
        {"id": index + 1, "name": name, "supercategory": ""} | ({"keypoints": points, "skeleton": []} if points else {})
        for index, name in enumerate(data.label_names)
    ]
    ids = [int(data.image_ids[row]) for row in rows]
    if len(set(ids)) < len(ids):
        ids = list(range(1, len(rows) + 1))
    scores, tracks = data.scores, data.track_ids
    listed, annotations = [], list[dict[str, Any]]()
    for row, identity, name in zip(rows, ids, names, strict=True):
        sample = data[row]
        listed.append({"id": identity, "file_name": name, "height": sample.size[0], "width": sample.size[1]})
        for entry in _annotations(sample, scores[row] if scores else None, tracks[row] if tracks else None):
            annotations.append({"id": len(annotations) + 1, "image_id": identity, **entry})
    return {"images": listed, "annotations": annotations, "categories": categories}


def _annotations(sample: Sample, scores: list[float] | None, tracks: list[int] | None) -> list[dict[str, Any]]:
    entries = []
    if sample.boxes is None:
        for index, label in enumerate(sample.labels):
            entry: dict[str, Any] = {"category_id": int(label) + 1}
            entries.append(entry | ({"score": scores[index]} if scores else {}))
        return entries
    assert sample.box_labels is not None
    for index, (x1, y1, x2, y2) in enumerate(sample.boxes.tolist()):
        entry = {
            "category_id": int(sample.box_labels[index]) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": float(sample.area[index]) if sample.area is not None else (x2 - x1) * (y2 - y1),
            "iscrowd": int(sample.iscrowd[index]) if sample.iscrowd is not None else 0,
            "segmentation": segmentation_of(sample, index),
        }
        if sample.keypoints is not None:
            values = sample.keypoints[index]
            entry["keypoints"] = values.reshape(-1).tolist()
            entry["num_keypoints"] = int((values[:, 2] > 0).sum())
        if scores:
            entry["score"] = scores[index]
        if tracks and tracks[index] >= 0:
            entry["track_id"] = tracks[index]
        entries.append(entry)
    return entries


def segmentation_of(sample: Sample, index: int) -> Any:
    """The outline of one object: a run-length dict, a list of rings ``[x, y, x, y, ...]``, or an empty list."""
    if sample.rles is not None and (rle := sample.rles[index]) is not None:
        return rle
    if sample.polygons is not None:
        return [ring.reshape(-1).tolist() for ring in sample.polygons[index]]
    return []
