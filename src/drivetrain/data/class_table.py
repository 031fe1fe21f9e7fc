"""Files next to class maps that name the classes, with their numbers or colours."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError

Colour = tuple[int, int, int]

_LISTS = frozenset(
    {"classes.txt", "class_names.txt", "codes.txt", "label_names.txt", "labels.txt", "names.txt", "obj.names"}
)


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Names of classes.

    Attributes:
        names: in the order of their numbers.
        values: the pixel value of each; ``None`` if it is the position.
        colours: the colour of each; ``None`` if the file does not give any.
        file: the file they were read from; ``""`` if they are known for this data set.
    """

    names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    colours: tuple[Colour, ...] | None = None
    file: str = ""


def find_table(tree: Tree) -> ClassTable | None:
    """The first class table among the files, the most informative kinds first.

    Raises:
        DataFormatError: a file with the name of such a table cannot be parsed.
    """
    for fits, read in _READERS:
        for name in sorted(tree.files, key=lambda name: (name.count("/"), name)):
            if fits(name.rpartition("/")[2].lower()) and (table := _table(tree.root / name, read)) is not None:
                return table
    return None


def _table(file: Path, read: Callable[[str], ClassTable | None]) -> ClassTable | None:
    try:
        table = read(file.read_text(encoding="utf-8-sig"))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataFormatError(f"{file} looks like a table of classes, but cannot be understood: {error}.") from error
    if table is None:
        return None
    repeated = next((name for name in table.names if table.names.count(name) > 1), None)
    if repeated is not None:
        raise DataFormatError(f"{file} names the class {repeated!r} twice.")
    return ClassTable(table.names, table.values, table.colours, str(file))


def _pixel_values(text: str) -> ClassTable | None:
    """Roboflow: ``Pixel Value, Class`` and one line per class."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)]
    if not rows or rows[0][0].lower() != "pixel value":
        return None
    pairs = sorted((int(row[0]), row[1]) for row in rows[1:])
    return ClassTable(tuple(name for _, name in pairs), tuple(value for value, _ in pairs))


def _class_dict(text: str) -> ClassTable | None:
    """A table with the columns ``name, r, g, b``."""
    rows = list(csv.DictReader(text.splitlines(), skipinitialspace=True))
    if not rows or not {"name", "r", "g", "b"} <= {str(key).strip().lower() for key in rows[0]}:
        return None
    cells = [{str(key).strip().lower(): str(value).strip() for key, value in row.items()} for row in rows]
    return _coloured([(row["name"], (int(row["r"]), int(row["g"]), int(row["b"]))) for row in cells])


def _colour_lines(text: str) -> ClassTable | None:
    """CamVid: ``64 128 64  Animal`` on each line."""
    pairs = []
    for line in text.splitlines():
        cells = line.split(None, 3)
        if len(cells) == 4 and not line.startswith("#"):
            pairs.append((cells[3].strip(), (int(cells[0]), int(cells[1]), int(cells[2]))))
    return _coloured(pairs)


def _label_map(text: str) -> ClassTable | None:
    """VOC and CVAT: ``name:r,g,b:parts:actions``."""
    pairs = []
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        cells = rest.partition(":")[0].split(",")
        if line.startswith("#") or not line.strip():
            continue
        if len(cells) != 3 or not all(cell.strip() for cell in cells):
            return None
        pairs.append((name.strip(), (int(cells[0]), int(cells[1]), int(cells[2]))))
    return _coloured(pairs)


def _mapillary(text: str) -> ClassTable | None:
    """Mapillary Vistas: the list ``labels`` with ``readable`` and ``color``."""
    labels = _mapping(text).get("labels")
    if not isinstance(labels, list) or not labels or "color" not in labels[0]:
        return None
    return _coloured([(str(entry.get("readable") or entry["name"]), _colour(entry["color"])) for entry in labels])


def _meta(text: str) -> ClassTable | None:
    """Datumaro: ``label_map`` from numbers to names, and ``segmentation_colors``."""
    content = _mapping(text)
    if not isinstance(content.get("label_map"), dict):
        return None
    pairs = sorted((int(number), str(name)) for number, name in content["label_map"].items())
    colours = [_colour(colour) for colour in content.get("segmentation_colors") or []]
    names = tuple(name for _, name in pairs)
    values = tuple(number for number, _ in pairs)
    return ClassTable(names, values, tuple(colours) if len(colours) == len(names) else None)


def _scene_parsing(text: str) -> ClassTable | None:
    """ADE20k's ``objectInfo150.txt``: a table whose last column names the classes from 1; 0 is everything else."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    names = [row[-1].partition(",")[0].strip() for row in rows if row[0].strip().isdecimal()]
    counted: dict[str, int] = {}
    distinct = []
    for name in names:  # a few names stand for two classes that differ only in their synonyms
        counted[name] = counted.get(name, 0) + 1
        distinct.append(name if counted[name] == 1 else f"{name} ({counted[name]})")
    return ClassTable(("other", *distinct)) if distinct else None


def _list(text: str) -> ClassTable | None:
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    return ClassTable(names) if names else None


def _coloured(pairs: list[tuple[str, Colour]]) -> ClassTable | None:
    if not pairs:
        return None
    return ClassTable(tuple(name for name, _ in pairs), colours=tuple(colour for _, colour in pairs))


def _mapping(text: str) -> Mapping[str, Any]:
    content = json.loads(text)
    return content if isinstance(content, dict) else {}


def _colour(values: Any) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


_READERS: tuple[tuple[Callable[[str], bool], Callable[[str], ClassTable | None]], ...] = (
    (lambda name: name == "_classes.csv", _pixel_values),
    (lambda name: name in ("class_dict.csv", "class_dict_seg.csv", "classes.csv"), _class_dict),
    (lambda name: name in ("label_colors.txt", "label_colours.txt"), _colour_lines),
    (lambda name: name == "labelmap.txt", _label_map),
    (lambda name: name == "dataset_meta.json", _meta),
    (lambda name: name.startswith("config") and name.endswith(".json"), _mapillary),
    (lambda name: name == "objectinfo150.txt", _scene_parsing),
    (lambda name: name in _LISTS, _list),
)
