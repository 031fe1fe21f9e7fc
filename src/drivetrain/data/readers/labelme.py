"""LabelMe and AnyLabeling: a ``.json`` file for each image, with its shapes."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.damage import Damage, number, numbers
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.folder_names import subset_in
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers.labelled_objects import UNNAMED, LabelledObjects, ellipse, image_named, json_files
from drivetrain.data.text import has_words
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.images.file import NoImage, is_too_large, open_image

_GLANCES = 3


def detect(tree: Tree) -> bool:
    """Whether one of the first ``.json`` files has shapes and the name of an image."""
    first = tree.with_suffix(".json")[:_GLANCES]
    return any(has_words(tree.root / name, '"shapes"', '"imagePath"') for name in first)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """Read polygons, rectangles and circles, or flags of whole images if there are no shapes at all.

    Raises:
        DataFormatError: no file is in this format, or one is not JSON.
    """
    found = LabelledObjects(Damage(strict=request.strict))
    finder = ImageFinder(tree)
    for file, document in json_files(tree, request, _fits):
        path = _image(tree, finder, file, document)
        if path is None:
            found.skipped.append((file, f"names the image {document.get('imagePath')!r}, which was not found"))
            continue
        size = _size(document)
        found.start(Record(path, subset_in((tree.relative(file) or "").rpartition("/")[0]), size))
        flags = document.get("flags")
        found.labels[-1] += [str(name) for name, is_set in flags.items() if is_set] if isinstance(flags, dict) else []
        _add_shapes(found, document["shapes"], file, size)
    if not found.records and not found.skipped:
        raise DataFormatError(f"{tree.root} is not in the format of LabelMe: no .json file has 'shapes'.")
    return found.parsed("labelme")


def _fits(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("shapes"), list) and "imagePath" in document


def _image(tree: Tree, finder: ImageFinder, file: str, document: Mapping[str, Any]) -> str | None:
    """The image by its written name, else the image with the name of the file, next to it."""
    written = document["imagePath"]
    path = image_named(finder, tree, written, file) if isinstance(written, str) and written else None
    stem = Path(file).stem
    folder = (tree.relative(file) or "").rpartition("/")[0]
    return path or finder.find_stem(stem, [folder, f"{folder}/images".lstrip("/"), "images"])


def _size(document: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = number(document.get("imageHeight")), number(document.get("imageWidth"))
    return (int(height), int(width)) if height and width else None


def _add_shapes(found: LabelledObjects, shapes: list[Any], file: str, size: tuple[int, int] | None) -> None:
    """Add shapes; those with the same group and label are parts of one object."""
    groups: dict[tuple[str, str], int] = {}
    for position, shape in enumerate(shapes):
        place = f"{file}, shape {position}"
        points = _points(shape)
        if points is None:
            found.damage.add("have points that are not pairs of finite numbers; they were left out", place)
            continue
        name = str(shape.get("label") or UNNAMED)
        kind = str(shape.get("shape_type") or "polygon")
        flat = [value for point in points for value in point]
        if kind == "rectangle" and len(points) in (2, 4):
            xs, ys = flat[0::2], flat[1::2]
            found.add_box(name, (min(xs), min(ys), max(xs), max(ys)))
            continue
        if kind == "mask":
            mask = _pasted(shape.get("mask"), points[0], size)
            if mask is None:
                found.damage.add("have a mask that cannot be read or does not fit the image; it was left out", place)
            else:
                found.add_mask(name, mask)
            continue
        if kind == "circle" and len(points) == 2:
            radius = ((points[0][0] - points[1][0]) ** 2 + (points[0][1] - points[1][1]) ** 2) ** 0.5
            flat = ellipse(*points[0], radius, radius)
        elif kind not in ("polygon", "rotation") or len(points) < 3:
            found.unused[kind] += 1
            continue
        found.oriented = found.oriented or kind == "rotation"
        group = (str(shape.get("group_id")), name)
        if shape.get("group_id") is not None and group in groups:
            found.extend(groups[group], flat)
        else:
            groups[group] = len(found.names[-1])
            found.add_rings(name, [flat])


def _pasted(text: Any, corner: tuple[float, float], size: tuple[int, int] | None) -> NDArray[np.bool_] | None:
    """The mask of the whole image, from that of a part (PNG in base64) and the first pixel of the part."""
    if not isinstance(text, str) or size is None or is_too_large(size):
        return None
    try:
        with open_image(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            part = np.asarray(image.convert("L")) > 0
    except (ValueError, NoImage):
        return None
    left, top = (round(value) for value in corner)
    if left < 0 or top < 0 or top + part.shape[0] > size[0] or left + part.shape[1] > size[1]:
        return None
    mask = np.zeros(size, np.bool_)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def _points(shape: Any) -> list[tuple[float, float]] | None:
    points = shape.get("points") if isinstance(shape, dict) else None
    if not isinstance(points, list):
        return None
    pairs = [numbers(point) for point in points]
    if not pairs or any(pair is None or len(pair) != 2 for pair in pairs):
        return None
    flat = list(itertools.chain.from_iterable(pair for pair in pairs if pair))
    return list(zip(flat[0::2], flat[1::2], strict=True))
