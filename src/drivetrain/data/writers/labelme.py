"""LabelMe: next to each image a ``.json`` with its shapes, in a folder for each subset.

The files follow the description of LabelMe 5; AnyLabeling and X-AnyLabeling open them too.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from drivetrain.data.tasks import has_corners
from drivetrain.errors import DataError
from drivetrain.images import rle as run_length
from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

_VERSION = "5.4.1"  # the version of LabelMe whose files these match


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write boxes, rotated boxes (``rotation``), polygons and masks; labels of whole images are flags.

    The parts of an object are shapes of one group. Scores are written as ``score``, which AnyLabeling shows.

    Raises:
        DataError: there are keypoints, which ``format='coco'`` can store.
    """
    if data.keypoint_names:
        raise DataError("format='labelme' is written without keypoints, and this data set has some: use 'coco'.")
    oriented, scores = has_corners(data), data.scores
    for row, sample in enumerate(data):
        place = folder / sample.subset
        images.place(row, place)
        given = scores[row] if scores else None
        document = {
            "version": _VERSION,
            "flags": {data.label_names[int(label)]: True for label in sample.labels},
            "shapes": list(_shapes(sample, data.label_names, given, oriented=oriented)),
            "imagePath": images.name(row),
            "imageData": None,
            "imageHeight": sample.size[0],
            "imageWidth": sample.size[1],
        }
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (place / f"{images.stems[row]}.json").write_text(text, encoding="utf-8")


def _shapes(
    sample: Sample, names: tuple[str, ...], scores: list[float] | None, *, oriented: bool
) -> Iterator[dict[str, Any]]:
    for index, label in enumerate(() if sample.box_labels is None else sample.box_labels.tolist()):
        parts = list(_parts(sample, index, oriented=oriented))
        for part in parts:
            shape: dict[str, Any] = {
                "label": names[label],
                "group_id": index + 1 if len(parts) > 1 else None,
                "flags": {},
            }
            shape |= {"description": "", **part}
            if scores:
                shape["score"] = scores[index]
            yield shape


def _parts(sample: Sample, index: int, *, oriented: bool) -> Iterator[dict[str, Any]]:
    """The shapes of one object: its mask, its outlines, or its box."""
    if sample.rles is not None and (rle := sample.rles[index]) is not None:
        yield _mask(rle)
        return
    rings = sample.polygons[index] if sample.polygons is not None else ()
    for ring in rings:
        yield {"shape_type": "rotation" if oriented else "polygon", "points": ring.tolist(), "mask": None}
    if not rings:
        assert sample.boxes is not None
        x1, y1, x2, y2 = sample.boxes[index].tolist()
        yield {"shape_type": "rectangle", "points": [[x1, y1], [x2, y2]], "mask": None}


def _mask(rle: dict[str, object]) -> dict[str, Any]:
    """The pixels within the box of the object as PNG; its corners are the first and the last pixel."""
    x1, y1, x2, y2 = (int(value) for value in run_length.box_of(rle))
    pixels = run_length.decode_mask(rle)[y1:y2, x1:x2]
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"shape_type": "mask", "points": [[x1, y1], [x2 - 1, y2 - 1]], "mask": text}
