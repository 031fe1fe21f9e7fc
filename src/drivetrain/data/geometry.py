"""Turning, scaling, clipping and completing the boxes, outlines and areas of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from drivetrain.data.headers import Header
from drivetrain.data.read_record import Parsed, Record
from drivetrain.images import rle as run_length

_SLACK = 0.5  # pixels: a smaller overhang is due to rounding and gets no note


def scale_record(record: Record, size: tuple[int, int]) -> None:
    """Convert fractions of the image to pixels of an image of ``size`` (height, width)."""
    height, width = size
    if record.boxes:
        record.boxes = [value * (height if index & 1 else width) for index, value in enumerate(record.boxes)]
    if record.polygons:
        record.polygons = [
            [[value * (height if index & 1 else width) for index, value in enumerate(ring)] for ring in rings]
            for rings in record.polygons
        ]
    if record.keypoints:
        factors = (width, height, 1)
        record.keypoints = [[value * factors[i % 3] for i, value in enumerate(points)] for points in record.keypoints]
    record.normalised = False


def turn_record(record: Record, header: Header) -> None:
    """Convert annotations of the stored image to the upright image."""
    height, width = header.stored_size
    point = _turned_point(header.orientation, height, width)
    if record.boxes:
        record.boxes = list(chain.from_iterable(_turned_box(box, point) for box in _fours(record.boxes)))
    if record.polygons:
        record.polygons = [[_turned_ring(ring, point) for ring in rings] for rings in record.polygons]
    if record.keypoints:
        record.keypoints = [_turned_keypoints(points, point) for points in record.keypoints]
    if record.rles:
        record.rles = [None if rle is None else _turned_rle(rle, header.orientation) for rle in record.rles]


def complete_objects(parsed: Parsed) -> None:
    """Clip boxes to the image, drop objects without an extent, and compute areas that are not given."""
    if parsed.objects is not None:
        _complete_columns(parsed)
        return
    clipped = empty = 0
    width_of_keypoints = 3 * len(parsed.keypoint_names)
    for record in parsed.records:
        if record.boxes is None:
            continue
        assert record.size is not None
        outside, flat = _clip(record, record.size)
        clipped += outside
        if flat:
            empty += len(flat)
            _remove(record, flat)
        _complete_areas(record)
        if width_of_keypoints and record.keypoints is None:
            record.keypoints = [[] for _ in record.box_labels or ()]
        if record.keypoints is not None:
            absent = [0.0] * width_of_keypoints
            record.keypoints = [points or absent for points in record.keypoints]
    _note_changes(parsed, clipped, empty)


def _complete_columns(parsed: Parsed) -> None:
    """Do the same for objects in columns; afterwards they match the records in order."""
    assert parsed.objects is not None
    columns = parsed.objects.take_images([record.row or 0 for record in parsed.records])
    sizes = np.array([record.size for record in parsed.records], np.int64)
    parsed.objects, clipped, empty = columns.completed(sizes)
    for row, record in enumerate(parsed.records):
        record.row = row
    _note_changes(parsed, clipped, empty)


def _note_changes(parsed: Parsed, clipped: int, empty: int) -> None:
    if clipped:
        parsed.notes.append(f"{clipped} boxes extended beyond their image and were clipped to it.")
    if empty:
        parsed.notes.append(f"{empty} objects without an extent inside their image were left out.")


def polygon_area(rings: Sequence[Sequence[float]]) -> float:
    """The area of an object with one or more rings, each ``x, y, x, y, ...``."""
    total = 0.0
    for ring in rings:
        x, y = np.asarray(ring[0::2]), np.asarray(ring[1::2])
        total += abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    return total


def polygon_box(rings: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """The smallest ``x1, y1, x2, y2`` around all rings."""
    xs = [value for ring in rings for value in ring[0::2]]
    ys = [value for ring in rings for value in ring[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _fours(values: Sequence[float]) -> list[tuple[float, float, float, float]]:
    return list(zip(values[0::4], values[1::4], values[2::4], values[3::4], strict=True))


def _clip(record: Record, size: tuple[int, int]) -> tuple[int, list[int]]:
    """Clip the boxes in place; return how many were noticeably outside, and which have no extent."""
    height, width = size
    outside, flat, boxes = 0, [], record.boxes or []
    for index, (x1, y1, x2, y2) in enumerate(_fours(boxes)):
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            if x1 < -_SLACK or y1 < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK:
                outside += 1
            x1, x2 = max(x1, 0.0), min(x2, float(width))
            y1, y2 = max(y1, 0.0), min(y2, float(height))
        boxes[4 * index : 4 * index + 4] = (x1, y1, x2, y2)
        if not (x2 > x1 and y2 > y1):
            flat.append(index)
    return outside, flat


def _remove(record: Record, unwanted: Sequence[int]) -> None:
    gone = set(unwanted)
    kept = [index for index in range(len(record.boxes or ()) // 4) if index not in gone]
    boxes = _fours(record.boxes or [])
    record.boxes = list(chain.from_iterable(boxes[index] for index in kept))
    for name in ("box_labels", "polygons", "rles", "keypoints", "area", "iscrowd", "scores", "track_ids"):
        values = getattr(record, name)
        if values is not None:
            setattr(record, name, [values[index] for index in kept])
    for name in ("polygons", "rles"):  # the last outline may have been dropped with its object
        if not any(getattr(record, name) or ()):
            setattr(record, name, None)


def _complete_areas(record: Record) -> None:
    if record.area is not None and None not in record.area:
        return
    given = record.area or [None] * (len(record.boxes or ()) // 4)
    record.area = [
        _area(record, index, box) if area is None else area
        for index, (area, box) in enumerate(zip(given, _fours(record.boxes or []), strict=True))
    ]


def _area(record: Record, index: int, box: tuple[float, float, float, float]) -> float:
    if record.rles is not None and (rle := record.rles[index]) is not None:
        return float(run_length.area_of(rle))
    if record.polygons is not None and record.polygons[index]:
        return polygon_area(record.polygons[index])
    return (box[2] - box[0]) * (box[3] - box[1])


_Point = Callable[[float, float], tuple[float, float]]


def _turned_point(orientation: int, height: int, width: int) -> _Point:
    """How a point of the stored image with this height and width moves when the image is turned upright."""
    moves: dict[int, _Point] = {
        5: lambda x, y: (y, x),
        6: lambda x, y: (height - y, x),
        7: lambda x, y: (height - y, width - x),
        8: lambda x, y: (y, width - x),
    }
    return moves[orientation]


def _turned_box(box: tuple[float, float, float, float], point: _Point) -> tuple[float, float, float, float]:
    (xa, ya), (xb, yb) = point(box[0], box[1]), point(box[2], box[3])
    return min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb)


def _turned_ring(ring: Sequence[float], point: _Point) -> list[float]:
    return [value for x, y in zip(ring[0::2], ring[1::2], strict=True) for value in point(x, y)]


def _turned_keypoints(points: Sequence[float], point: _Point) -> list[float]:
    turned: list[float] = []
    for x, y, visible in zip(points[0::3], points[1::3], points[2::3], strict=True):
        turned += [*(point(x, y) if visible > 0 else (x, y)), visible]
    return turned


def _turned_rle(rle: dict[str, object], orientation: int) -> dict[str, object]:
    mask = run_length.decode_mask(rle)
    turned = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask.T, 2), 8: np.rot90(mask, 1)}[orientation]
    return run_length.encode_mask(turned)
