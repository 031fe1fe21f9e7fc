"""COCO: one ``.json`` for each subset, with boxes, polygons, run-length masks, crowds and keypoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.data.damage import Damage, numbers
from drivetrain.data.damage import number as number_of
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.object_columns import ObjectColumns, joined
from drivetrain.data.read_record import SUBSET_SPELLINGS, Parsed, ReadRequest, Record, subset_name
from drivetrain.data.readers.coco_categories import label_numbers, name_keypoints, number_keypoints
from drivetrain.data.readers.coco_columns import CocoColumns, all_columns
from drivetrain.data.readers.coco_files import chosen_files, looks_right, read_document
from drivetrain.data.readers.coco_objects import MOST_SIDE, usable_parts
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_ORPHANS = "{} annotations of {} are about images that it does not list."


def detect(tree: Tree) -> bool:
    """Whether a ``.json`` file has the lists of COCO."""
    return any(looks_right(tree.root / name) for name in tree.with_suffix(".json"))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """All annotation files of the kind that suits the task.

    Raises:
        DataFormatError: there is no COCO file, or it is malformed.
    """
    parsed = Parsed([], [], Task.DETECTION, "coco")
    files = [request.file] if request.file else chosen_files(tree, request, parsed)
    if len(files) > 1 and all(_subset(file) == "train" for file in files):
        parsed.notes.append(
            f"Read as one data set: {', '.join(str(file.relative_to(tree.root)) for file in files[:8])}."
        )
    damage = Damage(strict=request.strict)
    if (plain := all_columns(files, damage)) and (found := _of_columns(files, plain, tree)) is not None:
        found.notes[:0] = parsed.notes
        found.notes += damage.notes()
        return found
    documents = [(file, read_document(file)) for file in files]
    if not documents:
        raise DataFormatError(f"{tree.root} has no .json file with the lists 'images' and 'annotations' of COCO.")
    used = Counter(
        category
        for _, document in documents
        for a in document.get("annotations") or []
        if isinstance(a, dict) and not isinstance(category := a.get("category_id"), dict | list)
    )
    names, numbers = label_numbers([document.get("categories") or [] for _, document in documents], used, parsed)
    parsed.label_names = names
    finder, damage = ImageFinder(tree), Damage(strict=request.strict)
    annotations = [a for file, document in documents for a in _annotations(file, document, damage)]
    name_keypoints(annotations, parsed)
    with_objects = not annotations or any("bbox" in a or a.get("segmentation") for a in annotations)
    for (file, document), number in zip(documents, numbers, strict=True):
        _read_document(file, document, tree, parsed, number, finder, damage, with_objects=with_objects)
    parsed.notes += damage.notes()
    _infer_task(parsed)
    return parsed


def _annotations(file: Path, document: dict[str, Any], damage: Damage) -> list[dict[str, Any]]:
    """The annotations of a document, without invalid entries; the document is changed in place."""
    found = document.get("annotations") or []
    if not isinstance(found, list):
        raise DataFormatError(f"{file}: 'annotations' must be a list.")
    kept: list[dict[str, Any]] = []
    seen: set[Any] = set()
    for place, annotation in enumerate(found):
        keys = ("image_id", "category_id", "id")
        if not isinstance(annotation, dict) or any(isinstance(annotation.get(key), dict | list) for key in keys):
            damage.add("are not annotations and were left out", f"{file}, entry {place}")
            continue
        identity = annotation.get("id")
        if identity is not None and identity in seen:
            damage.add("have the same id as another one; all are used", f"{file}, id {identity}")
        seen.add(identity)
        kept.append(annotation)
    document["annotations"] = kept
    return kept


def _subset(file: Path) -> str:
    """The subset named by the file or by its folder."""
    for text in (file.stem, file.parent.name):
        for token in re.split(r"[^a-z]+", text.lower()):
            if token and token != "default" and token in SUBSET_SPELLINGS:  # noqa: S105 - not a password
                return subset_name(token)
    return "train"


def _read_document(
    file: Path,
    document: dict[str, Any],
    tree: Tree,
    parsed: Parsed,
    number: Mapping[Any, int],
    finder: ImageFinder,
    damage: Damage,
    *,
    with_objects: bool,
) -> None:
    subset = _subset(file)
    annotations = document.get("annotations") or []
    bases = _bases(file, tree, subset)
    records = _records(file, document, [finder.find(str(image["file_name"]), bases) for image in document["images"]])
    for record in records.values():
        record.subset = subset
        if with_objects:
            record.boxes, record.box_labels, record.area, record.iscrowd = [], [], [], []
    orphans = _add_annotations(file, annotations, records, number, damage, with_objects=with_objects)
    if orphans:
        parsed.notes.append(_ORPHANS.format(orphans, file.name))
    for record in records.values():
        _complete(record, 3 * len(parsed.keypoint_names))
    parsed.records += records.values()


def _bases(file: Path, tree: Tree, subset: str) -> list[Path]:
    """The folders where the images of a file may be, the likeliest first."""
    suffix = re.sub(r"^(instances|person_keypoints|stuff|labels|image_info)_", "", file.stem)
    bases = [file.parent, tree.root, *(tree.root / name for name in ("images", f"images/{suffix}", suffix, subset))]
    if file.parent != tree.root:
        bases += [file.parent / "images", file.parent.parent, file.parent.parent / "images"]
    return bases


def _of_columns(files: Sequence[Path], plain: Sequence[CocoColumns], tree: Tree) -> Parsed | None:
    """The data of documents in columns; ``None`` if they do not match each other, or have no objects."""
    parsed = Parsed([], [], Task.DETECTION, "coco")
    used = sum((columns.used for columns in plain), Counter[int]())
    parsed.label_names, numbers = label_numbers([columns.categories for columns in plain], used, parsed)
    values = max(columns.keypoint_values for columns in plain)
    if values and not parsed.keypoint_names:
        number_keypoints(values // 3, parsed)
    parts = [columns.labelled(number) for columns, number in zip(plain, numbers, strict=True)]
    labelled = [part for part in parts if part is not None]
    if len(labelled) < len(plain) or not used or values not in (0, 3 * len(parsed.keypoint_names)):
        return None
    finder = ImageFinder(tree)
    for file, columns in zip(files, plain, strict=True):
        subset = _subset(file)
        bases = _bases(file, tree, subset)
        for name, identity, (height, width) in zip(
            columns.names, columns.ids.tolist(), columns.sizes.tolist(), strict=True
        ):
            record = Record(finder.find(name, bases), subset, (height, width) if height else None, identity)
            record.row = len(parsed.records)
            parsed.records.append(record)
        if columns.orphans:
            parsed.notes.append(_ORPHANS.format(columns.orphans, file.name))
    parsed.objects = joined(labelled, 3 * len(parsed.keypoint_names))
    parsed.task = _task_of(plain, parsed.objects)
    return parsed


def _task_of(plain: Sequence[CocoColumns], objects: ObjectColumns) -> Task:
    if objects.keypoints is not None and objects.keypoints.any():
        return Task.KEYPOINT_DETECTION
    outlined = sum(columns.outlined for columns in plain)
    return Task.INSTANCE_SEGMENTATION if 2 * outlined >= len(objects.labels) > 0 else Task.DETECTION


def _records(file: Path, document: Mapping[str, Any], paths: Sequence[str]) -> dict[Any, Record]:
    records: dict[Any, Record] = {}
    for image, path in zip(document["images"], paths, strict=True):
        if image["id"] in records:
            raise DataFormatError(f"{file}: the image id {image['id']} occurs twice.")
        records[image["id"]] = _record(image, path)
    return records


def _add_annotations(
    file: Path,
    annotations: Sequence[Mapping[str, Any]],
    records: Mapping[Any, Record],
    number: Mapping[Any, int],
    damage: Damage,
    *,
    with_objects: bool,
) -> int:
    """Add each annotation to its image; returns how many have no image."""
    orphans = 0
    for annotation in annotations:
        target = records.get(annotation.get("image_id"))
        if target is None:
            orphans += 1
            continue
        label = number.get(annotation.get("category_id"))
        if label is None:
            raise DataFormatError(
                f"{file}: annotation {annotation.get('id')} has the category id {annotation.get('category_id')}, "
                f"but the categories are {', '.join(map(str, number)) or 'missing'}."
            )
        if with_objects:
            _add_object(target, annotation, label, damage, f"{file}, annotation {annotation.get('id')}")
        elif label not in target.labels:
            target.labels.append(label)
            if annotation.get("score") is not None:
                target.scores = _padded(target.scores, len(target.labels) - 1, 0.0)
                target.scores.append(number_of(annotation["score"]) or 0.0)
    return orphans


def _record(image: Mapping[str, Any], path: str) -> Record:
    height, width = number_of(image.get("height")), number_of(image.get("width"))
    stated = height and width and min(height, width) >= 1 and max(height, width) <= MOST_SIDE
    identity = image["id"]
    if not isinstance(identity, int):
        identity = int(identity) if str(identity).isdecimal() else None
    if identity is not None and not -(2**63) <= identity < 2**63:  # more than the table can store
        identity = None
    return Record(path, size=(int(height), int(width)) if stated and height and width else None, image_id=identity)


def _add_object(record: Record, annotation: Mapping[str, Any], label: int, damage: Damage, place: str) -> None:
    parts = usable_parts(annotation, record.size, damage, place)
    if parts is None:
        return
    corners, polygons, rle = parts
    assert record.boxes is not None
    assert record.box_labels is not None
    assert record.area is not None
    assert record.iscrowd is not None
    index = len(record.box_labels)
    record.boxes += corners
    record.box_labels.append(label)
    area = number_of(annotation.get("area"))
    record.area.append(None if area is None or area < 0 else area)
    record.iscrowd.append(bool(annotation.get("iscrowd", 0)))
    if polygons:
        record.polygons = _padded(record.polygons, index, [])
        record.polygons.append(polygons)
    if rle:
        record.rles = _padded(record.rles, index, None)
        record.rles.append(rle)
    if annotation.get("score") is not None:
        record.scores = _padded(record.scores, index, 0.0)
        record.scores.append(number_of(annotation["score"]) or 0.0)
    if points := annotation.get("keypoints"):
        values = numbers(points)
        if values is None:
            damage.add("have keypoints that are not a list of finite numbers; they were left out", place)
            return
        record.keypoints = _padded(record.keypoints, index, [])
        record.keypoints.append(values)


def _padded(values: list[Any] | None, count: int, blank: Any) -> list[Any]:
    """The list, extended to ``count`` entries for the objects that had no value."""
    values = [] if values is None else values
    values += [blank] * (count - len(values))
    return values


def _complete(record: Record, keypoint_values: int) -> None:
    count = len(record.box_labels or ())
    if record.polygons is not None:
        _padded(record.polygons, count, [])
    if record.rles is not None:
        _padded(record.rles, count, None)
    if record.scores is not None:
        _padded(record.scores, count or len(record.labels), 0.0)
    if keypoint_values and record.boxes is not None:
        record.keypoints = _padded(record.keypoints, count, [])
        wrong = next((points for points in record.keypoints if points and len(points) != keypoint_values), None)
        if wrong is not None:
            raise DataFormatError(
                f"{record.path} has an object with {len(wrong)} keypoint values; {keypoint_values} are expected. All "
                "objects of a data set have the same keypoints."
            )
    else:
        record.keypoints = None


def _infer_task(parsed: Parsed) -> None:
    objects = outlined = points = 0
    for record in parsed.records:
        objects += len(record.box_labels or ())
        points += sum(any(values) for values in record.keypoints or ())
        outlined += sum(rle is not None for rle in record.rles or ())
        outlined += sum(bool(rings) and not _is_box(rings) for rings in record.polygons or ())
    if points:
        parsed.task = Task.KEYPOINT_DETECTION
    elif objects and 2 * outlined >= objects:
        parsed.task = Task.INSTANCE_SEGMENTATION
    elif not objects and any(record.labels for record in parsed.records):
        several = any(len(record.labels) != 1 for record in parsed.records)
        parsed.task = Task.MULTILABEL_CLASSIFICATION if several else Task.CLASSIFICATION


def _is_box(rings: Sequence[Sequence[float]]) -> bool:
    """Whether an outline is just a box."""
    ring = rings[0]
    return len(rings) == 1 and len(ring) in (8, 10) and len(set(ring[0::2])) == 2 and len(set(ring[1::2])) == 2
