"""From Datumaro's annotations to objects: those of a group are parts of one object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from drivetrain.data.damage import number
from drivetrain.data.geometry import polygon_box
from drivetrain.data.read_record import Parsed, Record
from drivetrain.images import rle as run_length

_SHOWN = 5


@dataclass(slots=True)
class _Object:
    """An object, assembled from annotations of the same group and label."""

    label: int
    box: tuple[float, float, float, float] | None = None
    rings: list[list[float]] = field(default_factory=list)
    rle: dict[str, object] | None = None
    points: list[float] = field(default_factory=list)
    crowd: bool = False
    score: float | None = None


@dataclass(slots=True)
class Objects:
    """The labels and objects of an image.

    Attributes:
        labels: of the image itself.
        scores: of these, if they have any.
        objects: on the image.
    """

    labels: list[int] = field(default_factory=list)
    objects: list[_Object] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def write(self, record: Record) -> None:
        """Fill in the columns of objects; those that no object has stay empty."""
        record.boxes, record.box_labels, record.iscrowd = [], [], []
        for item in self.objects:
            record.boxes += item.box or (0.0, 0.0, 0.0, 0.0)
            record.box_labels.append(item.label)
            record.iscrowd.append(item.crowd)
        if any(item.score is not None for item in self.objects):
            record.scores = [item.score or 0.0 for item in self.objects]
        if any(item.rings for item in self.objects):
            record.polygons = [item.rings for item in self.objects]
        if any(item.rle for item in self.objects):
            record.rles = [item.rle for item in self.objects]
        if any(item.points for item in self.objects):
            record.keypoints = [item.points for item in self.objects]


def collect(annotations: Iterable[Any], kinds: Counter[str], *, unnamed: int | None = None) -> Objects:
    """The labels and objects among the annotations of an item.

    Args:
        annotations: of the item.
        kinds: counts what was seen.
        unnamed: the label of objects that have none; ``None`` to skip them.
    """
    result = Objects()
    groups: dict[tuple[int, int], _Object] = {}
    for annotation in annotations:
        kind = str(annotation.type.name).lower()
        kinds[kind] += 1
        label = getattr(annotation, "label", None)
        label = unnamed if label is None else label
        if kind == "label":
            if label not in result.labels:
                result.labels.append(int(annotation.label))
                if (score := number(annotation.attributes.get("score"))) is not None:
                    result.scores.append(score)
            continue
        if label is None or kind not in _TAKERS:
            kinds["unlabelled " + kind if label is None else kind] += label is None
            continue
        key = (int(annotation.group), int(label))
        target = groups.get(key) if key[0] else None
        if target is None:
            target = groups[key] = _Object(int(label))
            result.objects.append(target)
        _TAKERS[kind](target, annotation)
        if (score := number(annotation.attributes.get("score"))) is not None:
            target.score = score
        target.crowd = target.crowd or bool(annotation.attributes.get("is_crowd", False))
    for item in result.objects:
        _settle_box(item)
    return result


def drop_image_labels(parsed: Parsed) -> None:
    """Drop the labels of whole images if the objects have different ones, such as the event of a photo of faces."""
    of_objects = {label for record in parsed.records for label in record.box_labels or ()}
    of_images = {label for record in parsed.records for label in record.labels}
    if not of_images or of_images & of_objects:
        return
    kept = [number for number in range(len(parsed.label_names)) if number not in of_images]
    dropped = [parsed.label_names[number] for number in sorted(of_images)]
    renumbered = {old: new for new, old in enumerate(kept)}
    parsed.label_names = [parsed.label_names[number] for number in kept]
    for record in parsed.records:
        record.labels = []
        record.box_labels = [renumbered[label] for label in record.box_labels or ()]
    more = ", ..." if len(dropped) > _SHOWN else ""
    parsed.notes.append(
        f"Labels of whole images next to those of objects were left out: {', '.join(dropped[:_SHOWN])}{more}."
    )


def complete_keypoints(parsed: Parsed) -> None:
    """Give every image with objects its keypoints, and invent names if the source has none."""
    count = max((len(points) // 3 for r in parsed.records for points in r.keypoints or ()), default=0)
    if count and len(parsed.keypoint_names) != count:
        parsed.keypoint_names = tuple(f"point_{index}" for index in range(count))
    for record in parsed.records:
        if not count:
            record.keypoints = None
        elif record.boxes is not None and record.keypoints is None:
            record.keypoints = [[] for _ in record.box_labels or ()]
        elif record.keypoints is not None:
            record.keypoints = [points + [0.0] * (3 * count - len(points)) for points in record.keypoints]


def _take_box(target: _Object, annotation: Any) -> None:
    x, y, width, height = (float(value) for value in annotation.get_bbox())
    target.box = (x, y, x + width, y + height)


def _take_polygon(target: _Object, annotation: Any) -> None:
    target.rings.append([float(value) for value in annotation.points])


def _take_rotated(target: _Object, annotation: Any) -> None:
    target.rings.append([float(value) for point in annotation.as_polygon() for value in point])


def _take_mask(target: _Object, annotation: Any) -> None:
    mask = annotation.image
    if target.rle is not None:
        mask = mask | run_length.decode_mask(target.rle)
    target.rle = run_length.encode_mask(mask)


def _take_points(target: _Object, annotation: Any) -> None:
    values = [float(value) for value in annotation.points]
    for index, visible in enumerate(annotation.visibility):
        target.points += [values[2 * index], values[2 * index + 1], float(getattr(visible, "value", visible))]


_TAKERS = {
    "bbox": _take_box,
    "polygon": _take_polygon,
    "rotated_bbox": _take_rotated,
    "mask": _take_mask,
    "points": _take_points,
}


def _settle_box(item: _Object) -> None:
    """Determine the box of an object that has none."""
    if item.box is not None:
        return
    if item.rle is not None:
        item.box = run_length.box_of(item.rle)
    elif item.rings:
        item.box = polygon_box(item.rings)
    elif seen := [(x, y) for x, y, v in zip(item.points[0::3], item.points[1::3], item.points[2::3], strict=True) if v]:
        item.box = polygon_box([[value for point in seen for value in point]])
