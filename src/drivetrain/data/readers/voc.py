"""Pascal VOC: one ``.xml`` per image, in ``Annotations`` or next to the image, with optional class maps."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from drivetrain.data.class_maps import as_class_map, is_coloured, voc_colours
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.readers.voc_labels import class_lists, read_labels
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree, suffix_of
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_FIRST = ("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow")
_LAST = ("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
VOC_NAMES = [*_FIRST, *_LAST]
_ANNOTATIONS, _IMAGES, _SETS, _CLASS_MAPS = "Annotations", "JPEGImages", "ImageSets", "SegmentationClass"
_LABEL_MAP = "labelmap.txt"
_OF_IMAGES = (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION)


def detect(tree: Tree) -> bool:
    """Whether there is a VOC annotation, or class maps or per-class image lists in the layout of VOC."""
    if any(name.rpartition("/")[2] in (_CLASS_MAPS, _SETS) for name in tree.folders):
        return any(name.rpartition("/")[2] == _IMAGES for name in tree.folders)
    return any(_is_annotation(tree.root / name) for name in tree.with_suffix(".xml")[:3])


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """Boxes; or class maps or image labels if they were requested or there is nothing else.

    Raises:
        DataFormatError: there is no annotation, or one is malformed.
    """
    prefix = _prefix(tree)
    files = [name for name in tree.with_suffix(".xml") if name.startswith(prefix)]
    maps = [name for name in tree.images if name.startswith(f"{prefix}{_CLASS_MAPS}/")]
    if maps and (request.task is Task.SEMANTIC_SEGMENTATION or not files):
        return _read_class_maps(tree, prefix, maps)
    lists = class_lists(tree, f"{prefix}{_SETS}/Main/")
    if lists and (request.task in _OF_IMAGES or not files):
        order = list(dict.fromkeys([*_label_map(tree, prefix), *VOC_NAMES]))
        return read_labels(tree, f"{prefix}{_IMAGES}", lists, _subsets(tree, prefix, "Main"), order)
    if not files:
        raise DataFormatError(
            f"{tree.root} is not in the VOC format: it has no .xml files, no {_CLASS_MAPS}, no lists in {_SETS}/Main."
        )
    return _read_boxes(tree, prefix, files)


def _prefix(tree: Tree) -> str:
    """The path before ``Annotations`` or ``JPEGImages``, for archives with ``VOCdevkit/VOC2012`` in front."""
    for wanted in (_ANNOTATIONS, _IMAGES):
        found = [name for name in tree.folders if name.rpartition("/")[2] == wanted]
        if len(found) == 1:
            return found[0].removesuffix(wanted)
    return ""


def _is_annotation(file: Path) -> bool:
    """Whether the file is from VOC; LabelMe's are similar, except for the words around the size and source."""
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - expat limits entity expansion
    except ET.ParseError:
        return False
    return root.tag == "annotation" and root.find("imagesize") is None and root.find("source/sourceImage") is None


def _read_boxes(tree: Tree, prefix: str, files: list[str]) -> Parsed:
    finder = ImageFinder(tree)
    subsets = _subsets(tree, prefix, "Main")
    objects: list[tuple[Record, list[str]]] = []
    missing, foreign = [], []
    for name in files:
        root = _parsed(tree.root / name)
        if root.tag != "annotation":
            foreign.append(name)
            continue
        stem = name.rpartition("/")[2].rpartition(".")[0]
        path = _image_of(tree, prefix, name, stem, root, finder)
        if path is None:
            missing.append(name)
            continue
        record = Record(path, subsets.get(stem) or _folder_subset(name), _size(root), boxes=[], iscrowd=[])
        objects.append((record, _add_objects(root, record, tree.root / name)))
    labels = _label_names(tree, prefix, {label for _, names in objects for label in names})
    number = {label: index for index, label in enumerate(labels)}
    for record, names in objects:
        record.box_labels = [number[label] for label in names]
    parsed = Parsed([record for record, _ in objects], labels, Task.DETECTION, "voc")
    parsed.skipped = [(tree.absolute(name), "is an annotation whose image was not found") for name in missing]
    if foreign:
        parsed.notes.append(f"{len(foreign)} .xml files are not VOC annotations, such as {foreign[0]}.")
    _add_bare_images(tree, prefix, subsets, parsed)
    return parsed


def _add_bare_images(tree: Tree, prefix: str, subsets: Mapping[str, str], parsed: Parsed) -> None:
    """Images without ``.xml`` show nothing if a set lists them; the others are skipped."""
    annotated = {record.path for record in parsed.records}
    left_out = []
    for name in tree.images:
        path = tree.absolute(name)
        if not name.startswith(f"{prefix}{_IMAGES}/") or path in annotated:
            continue
        stem = name.rpartition("/")[2].rpartition(".")[0]
        if stem in subsets:
            parsed.records.append(Record(path, subsets[stem], boxes=[], box_labels=[], iscrowd=[]))
        else:
            left_out.append(name)
    if left_out:
        parsed.notes.append(f"{len(left_out)} images have no .xml and were left out, such as {left_out[0]}.")


def _parsed(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()  # noqa: S314 - expat limits entity expansion
    except ET.ParseError as error:
        raise DataFormatError(f"{file} is not valid XML: {error}.") from error


def _image_of(tree: Tree, prefix: str, name: str, stem: str, root: ET.Element, finder: ImageFinder) -> str | None:
    folder = name.rpartition("/")[0]
    parent = folder.rpartition("/")[0]
    folders = [folder, f"{prefix}{_IMAGES}", f"{parent}/images" if parent else "images", parent]
    found = finder.find_stem(stem, folders)
    if found is None and (written := (root.findtext("filename") or "").strip()):
        path = finder.find(written, [tree.root / part for part in folders])
        found = path if tree.exists(path) else None
    return found


def _folder_subset(name: str) -> str:
    parts = [subset_name(part) for part in name.split("/")[:-1]]
    return next((part for part in parts if part in ("train", "val", "test")), "train")


def _subsets(tree: Tree, prefix: str, kind: str) -> dict[str, str]:
    """Image name -> subset, from ``ImageSets``; ``trainval`` counts only for images in neither of the two."""
    result: dict[str, str] = {}
    for listed in ("trainval", "train", "val", "test"):
        file = f"{prefix}{_SETS}/{kind}/{listed}.txt"
        if file in tree.files:
            for line in read_text(tree.root / file).splitlines():
                if cells := line.split():
                    result[cells[0]] = subset_name(listed)
    return result


def _size(root: ET.Element) -> tuple[int, int] | None:
    height, width = root.findtext("size/height"), root.findtext("size/width")
    try:
        size = int(float(height or 0)), int(float(width or 0))
    except ValueError:
        return None
    return size if all(size) else None


def _add_objects(root: ET.Element, record: Record, file: Path) -> list[str]:
    names = []
    assert record.boxes is not None
    assert record.iscrowd is not None
    for item in root.findall("object"):
        try:
            record.boxes += [float(item.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError as error:
            raise DataFormatError(f"{file}: an object has no complete 'bndbox': {error}.") from error
        names.append((item.findtext("name") or "").strip())
        record.iscrowd.append(False)
    return names


def _label_names(tree: Tree, prefix: str, found: set[str]) -> list[str]:
    """The names in ``labelmap.txt`` without background, those of VOC if they cover all, else those found."""
    listed = [name for name in _label_map(tree, prefix) if name != "background"]
    if listed and found <= set(listed):
        return listed
    if len(found) > 1 and found <= set(VOC_NAMES[1:]) and (tree.root / f"{prefix}{_SETS}").is_dir():
        return VOC_NAMES[1:]
    return sorted(found)


def _label_map(tree: Tree, prefix: str) -> dict[str, tuple[int, int, int]]:
    """The names in ``labelmap.txt`` with their colours: ``name:r,g,b:parts:actions``."""
    if f"{prefix}{_LABEL_MAP}" not in tree.files:
        return {}
    result: dict[str, tuple[int, int, int]] = {}
    standard = voc_colours()
    for line in read_text(tree.root / f"{prefix}{_LABEL_MAP}").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, colour = [*line.split(":"), ""][:2]
        cells = [int(cell) for cell in colour.split(",") if cell.strip().isdecimal()]
        result[name.strip()] = (cells[0], cells[1], cells[2]) if len(cells) == 3 else standard[len(result)]
    return result


def _read_class_maps(tree: Tree, prefix: str, maps: list[str]) -> Parsed:
    """Images with a class map; the value of a pixel is the number of its label, background first."""
    finder = ImageFinder(tree)
    subsets = _subsets(tree, prefix, "Segmentation")
    colours = _label_map(tree, prefix) or dict(zip(VOC_NAMES, voc_colours(), strict=False))
    names = list(colours)
    if "background" in colours:
        names = ["background", *(name for name in names if name != "background")]
    records, missing = [], []
    for name in maps:
        if suffix_of(name) != ".png":
            continue
        stem = name.rpartition("/")[2].rpartition(".")[0]
        image = finder.find_stem(stem, [f"{prefix}{_IMAGES}"])
        if image is None:
            missing.append((tree.absolute(name), "is a class map whose image was not found"))
        else:
            records.append(Record(image, subsets.get(stem, "train"), mask_path=tree.absolute(name)))
    parsed = Parsed(records, names, Task.SEMANTIC_SEGMENTATION, "voc", skipped=missing)
    _convert_coloured(parsed, colours)
    return parsed


def _convert_coloured(parsed: Parsed, colours: Mapping[str, tuple[int, int, int]]) -> None:
    numbers = {colours[name]: index for index, name in enumerate(parsed.label_names)}
    converted = 0
    for record in parsed.records:
        assert record.mask_path is not None
        if is_coloured(record.mask_path):
            record.mask_path = as_class_map(record.mask_path, numbers)
            converted += 1
    if converted:
        parsed.notes.append(f"{converted} coloured class maps were converted to numbers in the cache.")
