"""All other formats, read by Datumaro, and a ``datumaro.Dataset`` in memory."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from drivetrain.data.anomaly import mark_anomalies
from drivetrain.data.class_levels import class_levels
from drivetrain.data.folder_names import is_for_readers, is_image_name, is_map_name
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.readers.datumaro_objects import collect, complete_keypoints, drop_image_labels
from drivetrain.data.readers.datumaro_pictures import DatumaroPictures
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataError, DataFormatError
from drivetrain.machine.packages import is_installed, require
from drivetrain.types import Task

# formats whose files are pickles
PICKLED = frozenset({"cifar", "brats_numpy"})
# detected in any folder with images or tables, so detecting them means nothing
_ANYTHING = frozenset({"image_dir", "imagenet", "imagenet_with_subset_dirs", "tabular", "video_frames", "image_zip"})
_OBJECTS = ("bbox", "polygon", "mask", "points", "rotated_bbox")
_UNNAMED = "object"
_OF_INSTANCES = frozenset({"mots", "mapillary_vistas_instances", "segment_anything", "voc_instance_segmentation"})


def known_formats() -> list[str]:
    """The names of the formats that the installed Datumaro reads.

    Raises:
        MissingDependencyError: Datumaro is not installed.
    """
    return sorted(_datumaro().Environment().importers)


def detect(tree: Tree) -> bool:
    """Whether Datumaro is installed and there are files next to images, or folders of images that are not classes."""
    beside = any(not is_image(name) and not is_for_readers(name.rpartition("/")[2]) for name in tree.files)
    return (beside or _is_divided(tree)) and is_installed("datumaro")


def _is_divided(tree: Tree) -> bool:
    """Whether images are in folders that are neither classes nor subsets."""
    names = {part for folder in tree.image_folders for part in folder.split("/")}
    if not any(is_image_name(name) or is_map_name(name) for name in names):
        return False
    try:
        levels = class_levels(tree)
    except DataFormatError:
        return True
    return not (levels.classes or levels.subsets)


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The folder in the requested format, or in the one that reads the most items.

    Raises:
        MissingDependencyError: Datumaro is not installed.
        DataFormatError: Datumaro knows no format for it, or cannot read it.
        DataError: the format is a pickle and ``allow_pickle`` is not set.
    """
    names = [request.format] if request.format else _detected(tree.root)
    if not names:
        raise DataFormatError(f"{tree.root}: Datumaro knows no format for it.")
    name, best, note = _most(request.file or tree.root, _without_pickles(names, request))
    try:
        parsed = from_datumaro(best, request, name, DatumaroPictures(f"{tree.root} {tree.fingerprint} {name}"))
    except DataFormatError:
        raise
    except DataError as error:
        raise DataFormatError(str(error)) from error
    if not parsed.label_names and parsed.annotated and not request.format:
        raise DataFormatError(f"{tree.root}: Datumaro took it for {name!r}, but found no labels.")
    parsed.notes += note
    parsed.left_out = {folder: "maps" for folder in tree.folders if is_map_name(folder.rpartition("/")[2])}
    return parsed


def _most(path: Path, names: Iterable[str]) -> tuple[str, Any, list[str]]:
    """The format that reads the most items, with its result and a note if there was a choice.

    Raises:
        DataFormatError: none reads any.
    """
    found: list[tuple[str, Any]] = []
    problems = []
    for name in names:
        try:
            dataset = _quiet_import(path, name)
        except Exception as error:
            problems.append(f"{name}: {_first_cause(error)}")
            continue
        if len(dataset):
            found.append((name, dataset))
        else:
            problems.append(f"{name}: no items")
    if not found:
        raise DataFormatError(f"{path} could not be read by Datumaro ({'; '.join(problems)}).")
    name, best = max(found, key=lambda item: len(item[1]))
    if len(found) == 1:
        return name, best, []
    counts = ", ".join(f"{other} {len(dataset)}" for other, dataset in found)
    note = f"Datumaro knows several formats for it (items read: {counts}); {name!r} was used (--data.format chooses)."
    return name, best, [note]


def from_datumaro(
    dataset: Any, request: ReadRequest, name: str = "datumaro", pictures: DatumaroPictures | None = None
) -> Parsed:
    """The items of a classic ``datumaro.Dataset``.

    Args:
        dataset: the data set.
        request: the user's request.
        name: the name of the format.
        pictures: where to write images that are inside other files; ``None`` to leave them out.

    Raises:
        DataError: no item has an image.
    """
    pictures = pictures or DatumaroPictures()
    categories = {kind.name: value for kind, value in dataset.categories().items()}
    labels = [label.name for label in categories["label"].items] if "label" in categories else []
    parsed = Parsed([], labels, Task.DETECTION, name, keypoint_names=_keypoint_names(categories.get("points")))
    kinds: Counter[str] = Counter()
    items = list(dataset)
    objects = [a for item in items for a in item.annotations if _kind(a) in _OBJECTS]
    unnamed = bool(objects) and all(getattr(annotation, "label", None) is None for annotation in objects)
    for item in items:
        path = pictures.path_of(item)
        if path is None:
            parsed.skipped.append((str(item.id), "has no image file"))
            continue
        record = Record(path, subset_name(item.subset or ""), _size_of(item))
        found = collect(item.annotations, kinds, unnamed=0 if unnamed else None)
        record.labels = [] if unnamed else found.labels
        if len(found.scores) == len(record.labels) > 0:
            record.scores = found.scores
        if objects:
            found.write(record)
        parsed.records.append(record)
    if not parsed.records and parsed.skipped:
        raise DataError(
            f"None of the {len(items)} items of the Datumaro data set has an image file, such as "
            f"{parsed.skipped[0][0]!r}. Export it with save_media=True and load the folder."
        )
    _note(parsed, kinds, pictures, unnamed=unnamed)
    complete_keypoints(parsed)
    _set_task(parsed, request, kinds)
    return parsed


def _note(parsed: Parsed, kinds: Counter[str], pictures: DatumaroPictures, *, unnamed: bool) -> None:
    """Determine the labels of the objects, and note how the annotations were used."""
    if unnamed:
        parsed.label_names = [_UNNAMED]
        parsed.notes.append(f"The objects have no labels: all are {_UNNAMED!r}.")
    elif any(record.boxes for record in parsed.records):
        drop_image_labels(parsed)
    if pictures.written:
        parsed.notes.append(f"{pictures.written} images were inside another file; they were written into the cache.")
    unused = {kind: count for kind, count in kinds.items() if kind not in (*_OBJECTS, "label")}
    if unused:
        counts = ", ".join(f"{count} {kind}" for kind, count in unused.items())
        parsed.notes.append(f"Annotations of unused kinds were left out: {counts}.")
        parsed.annotated = bool(sum(kinds.values()) - sum(unused.values()))


def _set_task(parsed: Parsed, request: ReadRequest, kinds: Counter[str]) -> None:
    if not parsed.annotated:
        parsed.task = Task.ANOMALY
        return
    if kinds["points"]:
        parsed.task = Task.KEYPOINT_DETECTION
    elif kinds["rotated_bbox"]:
        parsed.task = Task.ORIENTED_DETECTION
    elif _is_semantic(parsed, kinds):
        parsed.task = Task.SEMANTIC_SEGMENTATION
    elif _share_of_outlines(parsed) > 0.5:
        parsed.task = Task.INSTANCE_SEGMENTATION
    elif not kinds["bbox"]:
        several = any(len(record.labels) != 1 for record in parsed.records)
        parsed.task = Task.MULTILABEL_CLASSIFICATION if several else Task.CLASSIFICATION
    if request.task is Task.ANOMALY or request.normal:
        mark_anomalies(parsed, request)


def _is_semantic(parsed: Parsed, kinds: Counter[str]) -> bool:
    """Whether there are only masks, one for each class on an image."""
    if not kinds["mask"] or kinds["polygon"] + kinds["bbox"] or parsed.format in _OF_INSTANCES:
        return False
    rows = [record.box_labels or [] for record in parsed.records]
    return all(len(set(row)) == len(row) for row in rows) and any(len(row) > 1 for row in rows)


def _share_of_outlines(parsed: Parsed) -> float:
    """How many of the objects have a polygon or a mask."""
    objects = sum(len(record.box_labels or ()) for record in parsed.records)
    outlined = sum(
        sum(map(bool, record.polygons or ())) + sum(map(bool, record.rles or ())) for record in parsed.records
    )
    return outlined / max(objects, 1)


def _datumaro() -> Any:
    return require("datumaro", "lightning", purpose="Reading this format")


def _detected(root: Path) -> list[str]:
    environment = _datumaro().Environment()
    try:
        names = environment.detect_dataset(str(root))
    except ImportError:  # one format lacks a package, which stops the detection of all formats
        _drop_unusable(environment.importers.extension_groups)
        names = environment.detect_dataset(str(root))
    return [name for name in names if name not in _ANYTHING]


def _drop_unusable(groups: dict[str, list[tuple[str, Any]]]) -> None:
    """Leave out the formats whose packages are not installed."""
    for found in groups.values():
        found[:] = [entry for entry in found if _is_usable(entry[1])]


def _is_usable(importer: Any) -> bool:
    try:
        importer.get_plugin_cls()
    except ImportError:
        return False
    return True


def _quiet_import(path: Path, name: str) -> Any:
    logger = logging.getLogger("datumaro")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        dataset = _datumaro().Dataset.import_from(str(path), name)
        dataset.init_cache()
    finally:
        logger.setLevel(level)
    return dataset


def _first_cause(error: BaseException) -> str:
    """The original error, which Datumaro wraps twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _without_pickles(names: Sequence[str], request: ReadRequest) -> list[str]:
    """The names, without those of pickle formats unless these are allowed.

    Raises:
        DataError: the files are pickles, whatever else they might be.
    """
    allowed = [name for name in names if request.allow_pickle or name not in PICKLED]
    if not allowed:
        raise DataError(
            f"format={names[0]!r}: its files are pickles, and opening a pickle can execute code. If you trust the "
            "source of the files, give allow_pickle=True."
        )
    return allowed


def _kind(annotation: Any) -> str:
    return str(annotation.type.name).lower()


def _size_of(item: Any) -> tuple[int, int] | None:
    """The size that the annotation states; the image is not opened for it."""
    size = item.media.size if item.media.has_size else None
    return (int(size[0]), int(size[1])) if size else None


def _keypoint_names(points: Any) -> tuple[str, ...]:
    if points is None:
        return ()
    return next((tuple(map(str, entry.labels)) for entry in points.items.values() if entry.labels), ())
