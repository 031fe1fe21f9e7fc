"""Label Studio's JSON export: tasks with the regions drawn by annotators, in per cent of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.brush import decode_brush
from drivetrain.data.damage import Damage, number, numbers
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.folder_names import subset_in
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers.labelled_objects import UNNAMED, LabelledObjects, ellipse, image_named, json_files
from drivetrain.data.text import has_words
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataFormatError
from drivetrain.images.file import is_too_large

_GLANCES = 20  # the most files to inspect: there is one, or one for each subset
_DRAWN = ("annotations", "completions")  # the second is the name before version 1.0


def detect(tree: Tree) -> bool:
    """Whether a ``.json`` file is a list of tasks."""
    return any(
        has_words(tree.root / name, '"data"', f'"{key}"', '"result"')
        for name in tree.with_suffix(".json")[:_GLANCES]
        for key in _DRAWN
    )


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """Read rectangles (also rotated), polygons, ellipses, masks and choices for images; not cancelled annotations.

    If a task has several annotations, the first is used.

    Raises:
        DataFormatError: no file is in this format, or one is not JSON.
    """
    found = LabelledObjects(Damage(strict=request.strict))
    finder = ImageFinder(tree)
    for file, document in json_files(tree, request, _fits):
        for task in document:
            written = _image_of(task)
            path = _located(finder, tree, written, file) if written else None
            if path is None:
                found.skipped.append((file, f"task {task.get('id')}: the image {written!r} was not found"))
                continue
            found.start(Record(path, subset_in((tree.relative(path) or "").rpartition("/")[0])))
            for position, result in enumerate(_results(task)):
                _add(found, result, f"{file}: task {task.get('id')}, result {position}")
    if not found.records and not found.skipped:
        raise DataFormatError(f"{tree.root} is not in the format of Label Studio: no .json file is a list of tasks.")
    return found.parsed("label_studio")


def _fits(document: Any) -> bool:
    return (
        isinstance(document, list)
        and bool(document)
        and all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in document)
        and any(key in task for task in document for key in _DRAWN)
    )


def _image_of(task: Mapping[str, Any]) -> str:
    """The path or URL of the image: the value called ``image``, else the first that looks like one."""
    data = task["data"]
    values = [data.get("image"), *data.values()]
    return next((value for value in values if isinstance(value, str) and is_image(_path_in(value))), "")


def _path_in(address: str) -> str:
    """The path in a URL: ``/data/local-files/?d=PATH``, ``s3://...``, or a path."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)


def _located(finder: ImageFinder, tree: Tree, written: str, file: str) -> str | None:
    """The image by its path, by its name, or by its name without the prefix added on upload."""
    path = _path_in(written)
    name = path.rpartition("/")[2]
    for candidate in (path.lstrip("/"), name, name.partition("-")[2]):
        if candidate and (found := image_named(finder, tree, candidate, file)):
            return found
    return None


def _results(task: Mapping[str, Any]) -> Iterator[Any]:
    drawn: list[Any] = next((task[key] for key in _DRAWN if isinstance(task.get(key), list)), [])
    kept = [entry for entry in drawn if isinstance(entry, dict) and not entry.get("was_cancelled")]
    results = kept[0].get("result") if kept else None
    yield from results if isinstance(results, list) else ()


def _add(found: LabelledObjects, result: Any, place: str) -> None:
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        found.damage.add("have no value; they were left out", place)
        return
    kind = str(result.get("type"))
    if kind == "choices":
        found.labels[-1] += [str(choice) for choice in value.get("choices") or ()]
        return
    width, height = number(result.get("original_width")), number(result.get("original_height"))
    shape = kind.removesuffix("labels")
    if shape not in ("rectangle", "polygon", "ellipse", "brush"):
        found.unused[kind] += 1
        return
    if not width or not height:
        found.damage.add("do not state the size of their image; they were left out", place)
        return
    found.records[-1].size = (int(height), int(width))
    names = value.get(kind) or value.get("labels") or [UNNAMED]
    name = str(names[0]) if isinstance(names, list) and names else UNNAMED
    try:
        if shape == "brush":
            found.add_mask(name, _painted(value, (int(height), int(width))))
        else:
            _draw(found, shape, name, value, (width / 100, height / 100))
    except (TypeError, ValueError):
        what = "mask that cannot be unpacked" if shape == "brush" else "shape that is not of finite numbers"
        found.damage.add(f"have a {what}; it was left out", place)


def _painted(value: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask drawn with the brush.

    Raises:
        ValueError: it cannot be unpacked, or its image is larger than any that is opened.
    """
    if value.get("format") != "rle" or not isinstance(value.get("rle"), list) or min(size) < 1:
        raise ValueError("no run lengths")
    if is_too_large(size):
        raise ValueError("too large")
    return decode_brush(value["rle"], size)


def _draw(found: LabelledObjects, shape: str, name: str, value: Mapping[str, Any], scale: tuple[float, float]) -> None:
    if shape == "polygon":
        pairs = [_finite(point, 2) for point in value["points"]] if isinstance(value.get("points"), list) else []
        if len(pairs) < 3:
            raise ValueError("fewer than three points")
        found.add_rings(name, [[part * side for pair in pairs for part, side in zip(pair, scale, strict=True)]])
        return
    turn = number(value.get("rotation") or 0) or 0.0
    if shape == "ellipse":
        x, y, across, down = _finite([value.get(key) for key in ("x", "y", "radiusX", "radiusY")], 4)
        found.add_rings(name, [ellipse(x * scale[0], y * scale[1], across * scale[0], down * scale[1], turn)])
        return
    x, y, width, height = _finite([value.get(key) for key in ("x", "y", "width", "height")], 4)
    left, top, across, down = x * scale[0], y * scale[1], width * scale[0], height * scale[1]
    if not turn:
        found.add_box(name, (left, top, left + across, top + down))
        return
    found.oriented = True
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    corners = ((0.0, 0.0), (across, 0.0), (across, down), (0.0, down))  # rotated about the first of them
    found.add_rings(
        name, [[v for a, b in corners for v in (left + a * cosine - b * sine, top + a * sine + b * cosine)]]
    )


def _finite(values: Any, count: int) -> list[float]:
    """The values as finite numbers of the given count.

    Raises:
        ValueError: they are not.
    """
    found = numbers(values)
    if found is None or len(found) != count:
        raise ValueError("not finite numbers")
    return found
