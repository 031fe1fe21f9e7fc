"""VGG Image Annotator, versions 1 and 2: one ``.json`` file with the regions of all images, or its whole project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivetrain.data.damage import Damage, numbers
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.folder_names import subset_in
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers.labelled_objects import UNNAMED, LabelledObjects, ellipse, image_named, json_files
from drivetrain.data.text import has_words
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError

_GLANCES = 20  # files that are inspected: there is one, or one per subset
_PROJECT = "_via_img_metadata"
_NAMES = ("class", "label", "name", "type", "category")


def detect(tree: Tree) -> bool:
    """Whether a ``.json`` file mentions regions."""
    return any(has_words(tree.root / name, '"filename"', '"regions"') for name in tree.with_suffix(".json")[:_GLANCES])


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """Rectangles, polygons, circles and ellipses; the first attribute of a region is its label.

    Raises:
        DataFormatError: no file has this format, or one is not JSON.
    """
    found = LabelledObjects(Damage(strict=request.strict))
    finder = ImageFinder(tree)
    for file, document in json_files(tree, request, _fits):
        for entry in _images(document):
            written = str(entry["filename"])
            path = image_named(finder, tree, written, file)
            if path is None:
                found.skipped.append((file, f"names the image {written!r}, which was not found"))
                continue
            found.start(Record(path, subset_in((tree.relative(path) or "").rpartition("/")[0])))
            regions = entry.get("regions")
            parts = list(regions.values()) if isinstance(regions, dict) else regions
            for position, region in enumerate(parts if isinstance(parts, list) else ()):
                _add_region(found, region, f"{file}: {written}, region {position}")
            found.labels[-1] += _chosen(entry.get("file_attributes"))
    if not found.records and not found.skipped:
        raise DataFormatError(f"{tree.root} is not in the format of VIA: no .json file has 'filename' and 'regions'.")
    return found.parsed("via")


def _fits(document: Any) -> bool:
    return isinstance(document, dict) and any(True for _ in _images(document))


def _images(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    inner = document.get(_PROJECT, document)
    for entry in inner.values() if isinstance(inner, dict) else ():
        if isinstance(entry, dict) and "filename" in entry and "regions" in entry:
            yield entry


def _add_region(found: LabelledObjects, region: Any, place: str) -> None:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    kind = str(shape.get("name")) if isinstance(shape, dict) else ""
    if not isinstance(shape, dict) or kind not in _SHAPES:
        found.unused[kind or "regions without a shape"] += 1
        return
    values = [numbers(value if isinstance(value, list) else [value]) for value in map(shape.get, _SHAPES[kind])]
    if any(value is None for value in values):
        found.damage.add("have a shape with non-finite numbers; it was left out", place)
        return
    parts = [value for value in values if value is not None]
    name = next(iter(_chosen(region.get("region_attributes"))), UNNAMED)
    if kind == "rect":
        x, y, width, height = (part[0] for part in parts)
        found.add_box(name, (x, y, x + width, y + height))
    elif kind == "polygon":
        if len(parts[0]) != len(parts[1]) or len(parts[0]) < 3:
            found.damage.add("have a polygon with unequal lists or fewer than three points; it was left out", place)
            return
        found.add_rings(name, [[value for pair in zip(*parts, strict=True) for value in pair]])
    else:
        x, y, *radii = (part[0] for part in parts)
        found.add_rings(name, [ellipse(x, y, radii[0], radii[-1])])


_SHAPES = {
    "rect": ("x", "y", "width", "height"),
    "polygon": ("all_points_x", "all_points_y"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def _chosen(attributes: Any) -> list[str]:
    """The values of the attributes: text as is, and of check boxes those that are ticked."""
    if not isinstance(attributes, dict):
        return []
    ordered = sorted(attributes, key=lambda key: _NAMES.index(key.lower()) if key.lower() in _NAMES else len(_NAMES))
    found = []
    for key in ordered:
        value = attributes[key]
        if isinstance(value, dict):
            found += [str(name) for name, is_set in value.items() if is_set]
        elif isinstance(value, str) and value.strip():
            found.append(value.strip())
    return found
