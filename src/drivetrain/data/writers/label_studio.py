"""Label Studio: ``tasks.json`` with one task for each image, ``labeling_config.xml``, and the images.

This follows Label Studio's published description of its JSON: coordinates are percentages of the image. True
annotations are ``annotations``; those with scores are ``predictions``, which Label Studio offers for correction.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from drivetrain.data.brush import encode_brush
from drivetrain.data.tasks import has_corners
from drivetrain.errors import DataError
from drivetrain.images import rle as run_length
from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

_LOCAL = "/data/local-files/?d="  # how Label Studio names files on its own disk


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write labels of images, boxes (also rotated ones), masks, and each part of an outline as a separate polygon.

    The images are named as Label Studio names files below ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``, which must be the
    folder that is written.

    Raises:
        DataError: there are keypoints, which ``format='coco'`` can store.
    """
    if data.keypoint_names:
        raise DataError("format='label_studio' is written without keypoints, and this data set has some: use 'coco'.")
    oriented = has_corners(data)
    scores = data.scores
    tasks = []
    for row, sample in enumerate(data):
        images.place(row, folder / "images")
        given = scores[row] if scores else None
        results = _results(sample, given, data.label_names, oriented=oriented)
        name = f"{_LOCAL}images/{images.name(row)}"
        task: dict[str, Any] = {"id": row + 1, "data": {"image": name, "subset": sample.subset}}
        answer: dict[str, Any] = {"result": results}
        if given:
            answer["score"] = min(given)
        task |= {"predictions": [answer]} if scores else {"annotations": [answer]}
        tasks.append(task)
    (folder / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / "labeling_config.xml").write_text(_config(data), encoding="utf-8")


def _config(data: Dataset) -> str:
    """The labelling interface that fits the annotations."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in data.label_names)
    choices = labels.replace("<Label ", "<Choice ")
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <Choices name="choice" toName="image" choice="multiple">\n{choices}  </Choices>\n'
        f'  <RectangleLabels name="box" toName="image" canRotate="true">\n{labels}  </RectangleLabels>\n'
        f'  <PolygonLabels name="polygon" toName="image">\n{labels}  </PolygonLabels>\n'
        f'  <BrushLabels name="brush" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )


def _results(
    sample: Sample, scores: list[float] | None, names: tuple[str, ...], *, oriented: bool
) -> list[dict[str, Any]]:
    chosen = [names[int(label)] for label in sample.labels]
    found = [_result("choices", sample, {"choices": chosen}, "choice", "c")] if chosen else []
    for index, label in enumerate(() if sample.box_labels is None else sample.box_labels.tolist()):
        for part, (kind, value) in enumerate(_shapes(sample, index, oriented=oriented)):
            result = _result(
                kind, sample, value | {kind: [names[label]]}, kind.removesuffix("labels"), f"{index}_{part}"
            )
            if scores:
                result["score"] = scores[index]
            found.append(result)
    return found


def _result(kind: str, sample: Sample, value: dict[str, Any], control: str, name: str) -> dict[str, Any]:
    height, width = sample.size
    return {
        "id": f"object_{name}",
        "type": kind,
        "from_name": "box" if control == "rectangle" else control,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }


def _shapes(sample: Sample, index: int, *, oriented: bool) -> list[tuple[str, dict[str, Any]]]:
    """The type and coordinates of each shape of an object, in percent of the image."""
    height, width = sample.size
    if sample.rles is not None and (rle := sample.rles[index]) is not None:
        return [("brushlabels", {"format": "rle", "rle": encode_brush(run_length.decode_mask(rle))})]
    rings = sample.polygons[index] if sample.polygons is not None else ()
    if oriented:
        return [("rectanglelabels", _turned(rings[0].astype(float).tolist(), height, width))]
    if rings:
        parts = [[[100 * x / width, 100 * y / height] for x, y in ring.tolist()] for ring in rings]
        return [("polygonlabels", {"points": points, "closed": True}) for points in parts]
    assert sample.boxes is not None
    x1, y1, x2, y2 = sample.boxes[index].tolist()
    box = {"x": 100 * x1 / width, "y": 100 * y1 / height, "rotation": 0}
    return [("rectanglelabels", box | {"width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height})]


def _turned(corners: list[list[float]], height: int, width: int) -> dict[str, Any]:
    """A box rotated about its first corner, clockwise, in degrees."""
    (x1, y1), (x2, y2), (x3, y3), _ = corners
    return {
        "x": 100 * x1 / width,
        "y": 100 * y1 / height,
        "width": 100 * math.hypot(x2 - x1, y2 - y1) / width,
        "height": 100 * math.hypot(x3 - x2, y3 - y2) / height,
        "rotation": math.degrees(math.atan2(y2 - y1, x2 - x1)) % 360,
    }
