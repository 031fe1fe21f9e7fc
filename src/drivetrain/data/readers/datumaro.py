"""Every other format, read by Datumaro; a ``datumaro.Dataset`` in memory, too."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drivetrain.data.anomaly import mark_anomalies
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.data.readers.datumaro_objects import collect, complete_keypoints
from drivetrain.data.tree import Tree, is_image, suffix_of
from drivetrain.errors import DataError, DataFormatError
from drivetrain.machine.packages import is_installed, require
from drivetrain.types import Task

# formats whose files are pickles, or are opened with numpy's pickle support
PICKLED = frozenset({"cifar", "lfw", "datumaro_binary", "mpii", "mars", "brats_numpy", "celeba_numpy"})
# found in any folder with images or tables, so finding them means nothing
_ANYTHING = frozenset({"image_dir", "imagenet", "imagenet_with_subset_dirs", "tabular", "video_frames", "image_zip"})
_ANNOTATIONS = frozenset({".json", ".xml", ".txt", ".csv", ".tsv", ".mat", ".arrow", ".datum"})
_OBJECTS = ("bbox", "polygon", "mask", "points", "rotated_bbox")


def known_formats() -> list[str]:
    """The names of the formats that the installed Datumaro reads.

    Raises:
        MissingDependencyError: Datumaro is not installed.
    """
    return sorted(_datumaro().Environment().importers)


def detect(tree: Tree) -> bool:
    """Whether there are files that may be annotations and Datumaro is there to look at them."""
    return any(_may_annotate(name) for name in tree.files) and is_installed("datumaro")


def _may_annotate(name: str) -> bool:
    stem = name.rpartition("/")[2].lower()
    return suffix_of(name) in _ANNOTATIONS and not stem.startswith(("readme", "license", "licence"))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The folder as the format that was asked for, or that reads the most items.

    Raises:
        MissingDependencyError: Datumaro is not installed.
        DataFormatError: Datumaro knows no format for it, or cannot read it.
        DataError: the format is a pickle and ``allow_pickle`` is not set.
    """
    names = [request.format] if request.format and request.format != "datumaro" else _detected(tree.root)
    if request.format == "datumaro":
        names = ["datumaro"]
    if not names:
        raise DataFormatError(f"{tree.root}: Datumaro knows no format for it.")
    _refuse_pickles(names, request)
    found: list[tuple[str, Any]] = []
    problems = []
    for name in names:
        try:
            dataset = _quiet_import(request.file or tree.root, name)
        except Exception as error:
            problems.append(f"{name}: {_first_cause(error)}")
            continue
        found.append((name, dataset))
    usable = [(name, dataset) for name, dataset in found if len(dataset)]
    if not usable:
        tried = "; ".join(problems) or f"{', '.join(names)}: no items"
        raise DataFormatError(f"{tree.root} could not be read by Datumaro ({tried}).")
    name, best = max(usable, key=lambda item: len(item[1]))
    parsed = from_datumaro(best, request, name)
    if not parsed.label_names and not request.format:
        raise DataFormatError(f"{tree.root}: Datumaro took it for {name!r}, but found no labels.")
    if len(usable) > 1:
        counts = ", ".join(f"{other} {len(dataset)}" for other, dataset in usable)
        parsed.notes.append(f"Datumaro knows several formats for it (items read: {counts}); {name!r} was used.")
    return parsed


def from_datumaro(dataset: Any, request: ReadRequest, name: str = "datumaro") -> Parsed:
    """The items of a classic ``datumaro.Dataset``.

    Args:
        dataset: what was read.
        request: what the user asked.
        name: of the format.

    Raises:
        DataError: no item has an image file.
    """
    categories = {kind.name: value for kind, value in dataset.categories().items()}
    labels = [label.name for label in categories["label"].items] if "label" in categories else []
    parsed = Parsed([], labels, Task.DETECTION, name, keypoint_names=_keypoint_names(categories.get("points")))
    kinds: Counter[str] = Counter()
    items = list(dataset)
    with_objects = any(_kind(annotation) in _OBJECTS for item in items for annotation in item.annotations)
    for item in items:
        path = _path_of(item)
        if path is None:
            parsed.skipped.append((str(item.id), "has no image file"))
            continue
        record = Record(path, subset_name(item.subset or ""), _size_of(item))
        objects = collect(item.annotations, kinds)
        record.labels = objects.labels
        if with_objects:
            objects.write(record)
        parsed.records.append(record)
    if not parsed.records and parsed.skipped:
        raise DataError(
            f"None of the {len(items)} items of the Datumaro data set has an image file, such as "
            f"{parsed.skipped[0][0]!r}. Export it with save_media=True and load the folder."
        )
    unused = {kind: count for kind, count in kinds.items() if kind not in (*_OBJECTS, "label")}
    if unused:
        counts = ", ".join(f"{count} {kind}" for kind, count in unused.items())
        parsed.notes.append(f"Annotations of kinds that are not used here were left out: {counts}.")
    complete_keypoints(parsed)
    _set_task(parsed, request, kinds)
    return parsed


def _set_task(parsed: Parsed, request: ReadRequest, kinds: Counter[str]) -> None:
    if kinds["points"]:
        parsed.task = Task.KEYPOINT_DETECTION
    elif kinds["rotated_bbox"]:
        parsed.task = Task.ORIENTED_DETECTION
    elif kinds["mask"] and not kinds["polygon"] + kinds["bbox"] and _one_mask_for_each_class(parsed):
        parsed.task = Task.SEMANTIC_SEGMENTATION
    elif kinds["mask"] + kinds["polygon"] > kinds["bbox"]:
        parsed.task = Task.INSTANCE_SEGMENTATION
    elif not kinds["bbox"]:
        several = any(len(record.labels) != 1 for record in parsed.records)
        parsed.task = Task.MULTILABEL_CLASSIFICATION if several else Task.CLASSIFICATION
    if request.task is Task.ANOMALY or request.normal:
        mark_anomalies(parsed, request)


def _one_mask_for_each_class(parsed: Parsed) -> bool:
    rows = [record.box_labels or [] for record in parsed.records]
    return all(len(set(row)) == len(row) for row in rows) and any(len(row) > 1 for row in rows)


def _datumaro() -> Any:
    return require("datumaro", "lightning", purpose="Reading this format")


def _detected(root: Path) -> list[str]:
    dm = _datumaro()
    names = dm.Environment().detect_dataset(str(root))
    return [name for name in names if name not in _ANYTHING]


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
    """What went wrong at first; Datumaro wraps it twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _refuse_pickles(names: Iterable[str], request: ReadRequest) -> None:
    pickled = [name for name in names if name in PICKLED]
    if pickled and not request.allow_pickle:
        raise DataError(
            f"format={pickled[0]!r}: its files are pickles, and opening a pickle can execute code. If you trust where "
            "the files come from, give allow_pickle=True."
        )


def _kind(annotation: Any) -> str:
    return str(annotation.type.name).lower()


def _path_of(item: Any) -> str | None:
    path = getattr(item.media, "path", None)
    return str(Path(path).absolute()) if path and is_image(str(path)) and Path(path).is_file() else None


def _size_of(item: Any) -> tuple[int, int] | None:
    """The size that the annotation states; the image is not opened for it."""
    size = item.media.size if item.media.has_size else None
    return (int(size[0]), int(size[1])) if size else None


def _keypoint_names(points: Any) -> tuple[str, ...]:
    if points is None:
        return ()
    return next((tuple(map(str, entry.labels)) for entry in points.items.values() if entry.labels), ())
