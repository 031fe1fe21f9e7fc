"""The usable content of a COCO annotation, and the repair of faulty annotations among columns of sound ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drivetrain.data.damage import Damage, box_of, mask_of, rings_of
from drivetrain.data.geometry import polygon_box
from drivetrain.data.object_columns import list_sizes
from drivetrain.images import rle as run_length

RING = 6
"""The number of values of a triangle, the smallest ring."""

MOST_SIDE = 2**31 - 1
"""The largest plausible height or width; a larger one counts as not stated."""

Parts = tuple[Sequence[float], list[list[float]], dict[str, object] | None]
"""The corners of an object, its rings and its mask."""


def usable_parts(
    annotation: Mapping[str, Any], size: tuple[int, int] | None, damage: Damage, place: str
) -> Parts | None:
    """The box and the outline of an annotation; ``None`` if it has neither.

    Args:
        annotation: has ``bbox`` and ``segmentation``, which may be anything.
        size: height and width of its image, if known.
        damage: records what is left out.
        place: the place of the annotation.
    """
    polygons, rle = _outline(annotation.get("segmentation"), size, damage, place)
    box = annotation.get("bbox")
    corners: Sequence[float] | None = box_of(box, damage, place) if box else None
    if corners is None and polygons:
        corners = polygon_box(polygons)
    elif corners is None and rle:
        corners = run_length.box_of(rle)
    if corners is None:
        damage.add("have neither a usable box nor a usable outline and were left out", place)
        return None
    return corners, polygons, rle


def _outline(
    segmentation: Any, size: tuple[int, int] | None, damage: Damage, place: str
) -> tuple[list[list[float]], dict[str, object] | None]:
    if not segmentation:
        return [], None
    if isinstance(segmentation, Mapping):
        return [], mask_of(segmentation, size, damage, place)
    return rings_of(segmentation, damage, place), None


def mended(
    annotations: pa.StructArray, sizes: NDArray[np.int64], damage: Damage, file: Path
) -> tuple[pa.StructArray, NDArray[np.int64]]:
    """The annotations; those with a fault are repaired one by one, or left out.

    Args:
        annotations: annotations of listed images, in order.
        sizes: ``(M, 2)`` height and width of each one's image, 0 if not stated.
        damage: records faults.
        file: the file that contains them.

    Returns:
        The annotations in their given order, and ``(M,)`` the position of each among those given.
    """
    faulty = _faulty(annotations)
    positions = np.arange(len(annotations))
    if not faulty.any():
        return annotations, positions
    repaired, places = [], []
    for position, entry in zip(np.flatnonzero(faulty).tolist(), _rows(annotations, faulty), strict=True):
        size = sizes[position].tolist()
        outline = entry["segmentation"] or _mask(entry["rle"])
        parts = usable_parts(
            {"bbox": entry["bbox"], "segmentation": outline},
            (size[0], size[1]) if all(size) else None,
            damage,
            f"{file}, annotation {entry['id']}",
        )
        if parts is not None:
            (x1, y1, x2, y2), polygons, rle = parts
            kept = None if rle is None else {**rle, "count_list": None}
            repaired.append({**entry, "bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": polygons, "rle": kept})
            places.append(position)
    whole = annotations.filter(pa.array(~faulty))
    order = np.concatenate([positions[~faulty], np.array(places, np.int64)])
    return pa.concat_arrays([whole, pa.array(repaired, annotations.type)]), order


def _rows(annotations: pa.StructArray, chosen: NDArray[np.bool_]) -> list[dict[str, Any]]:
    return list(annotations.filter(pa.array(chosen)).to_pylist())


def _mask(rle: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if rle is None:
        return None
    return {"size": rle["size"], "counts": rle["count_list"] if rle["counts"] is None else rle["counts"]}


def _faulty(annotations: pa.StructArray) -> NDArray[np.bool_]:
    """``(M,)`` whether a box or an outline has a fault, or both are missing; masks are not examined."""
    boxes, outlines = annotations.field("bbox"), annotations.field("segmentation")
    lengths = list_sizes(boxes)
    unusable = _owners_of_bad_numbers(boxes)
    values = np.full((len(lengths), 4), 0.0)
    fours = (lengths == 4) & ~unusable
    values[fours] = boxes.filter(pa.array(fours)).flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.abs(values).sum(axis=1))
    faulty = unusable | ~np.isin(lengths, (0, 4)) | (values[:, 2:] < 0).any(axis=1) | ~finite
    rings = outlines.flatten()
    counts = list_sizes(rings)
    bad = (counts < RING) | (counts % 2 == 1) | ~_valid(rings) | _owners_of_bad_numbers(rings)
    owners = np.repeat(np.arange(len(annotations)), list_sizes(outlines))
    faulty[owners[bad]] = True
    absent = ~annotations.field("rle").is_valid().to_numpy(zero_copy_only=False)
    return np.asarray(faulty | ((lengths == 0) & (list_sizes(outlines) == 0) & absent), np.bool_)


def _owners_of_bad_numbers(lists: pa.ListArray) -> NDArray[np.bool_]:
    """Which lists have an entry that is not a finite number."""
    numbers = lists.flatten()
    values = np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)
    owners = np.repeat(np.arange(len(lists)), list_sizes(lists))
    found = np.zeros(len(lists), np.bool_)
    found[owners[~(np.isfinite(values) & _valid(numbers))]] = True
    return found


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
