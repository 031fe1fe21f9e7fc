"""DOTA, and Roboflow's oriented boxes: corners in pixels, class and difficulty in ``labelTxt`` next to ``images``."""

from __future__ import annotations

from pathlib import Path

from drivetrain.data.damage import Damage, numbers
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.folder_names import subset_in
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.readers.labelled_objects import LabelledObjects
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_LABELS = "labelTxt"
_CORNERS = 8
_HEADERS = ("imagesource:", "gsd:")


def detect(tree: Tree) -> bool:
    """Whether there is a folder ``labelTxt``, or one whose name begins with it, as in ``labelTxt-v1.5``."""
    return bool(_label_files(tree))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The oriented boxes of all images that have a label file.

    Raises:
        DataFormatError: there is no such folder.
    """
    files = _label_files(tree)
    if not files:
        raise DataFormatError(f"{tree.root} is not in the DOTA format: it has no folder {_LABELS!r} with .txt files.")
    found = LabelledObjects(Damage(strict=request.strict), oriented=True)
    finder = ImageFinder(tree)
    for name in files:
        folder, _, file = name.rpartition("/")
        parent = folder.rpartition("/")[0]
        inside = f"{parent}/images" if parent else "images"
        image = finder.find_stem(file.rpartition(".")[0], [inside, parent, folder])
        if image is None:
            found.skipped.append((tree.absolute(name), "is a label file whose image was not found"))
            continue
        found.start(Record(image, subset_in(folder)))
        _add_lines(found, Path(tree.absolute(name)))
    parsed = found.parsed("dota")
    parsed.task = Task.ORIENTED_DETECTION
    for record in parsed.records:
        record.boxes, record.labels = record.boxes or [], []
        record.box_labels = record.box_labels or []
    return parsed


def _label_files(tree: Tree) -> list[str]:
    return [name for name in tree.with_suffix(".txt") if name.rpartition("/")[0].rpartition("/")[2].startswith(_LABELS)]


def _add_lines(found: LabelledObjects, file: Path) -> None:
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        cells = line.replace(",", " ").split()
        if not cells or cells[0].startswith(_HEADERS):
            continue
        corners = numbers(cells[:_CORNERS])
        if corners is None or len(cells) <= _CORNERS:
            found.damage.add(
                "are lines without eight finite numbers and a class; they were left out", f"{file}:{number}"
            )
            continue
        found.add_rings(cells[_CORNERS], [corners])
