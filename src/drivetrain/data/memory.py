"""Data sets in memory: tables, lists of images and labels, torch data sets, and those of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.data.damage import numbers
from drivetrain.data.memory_images import stored_image
from drivetrain.data.read_record import Parsed, ReadRequest, Record, subset_name
from drivetrain.errors import DataError
from drivetrain.types import Task

IMAGE_COLUMNS = ("image", "img", "pixel_values", "picture")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
_OBJECTS = "objects"
_OBJECT_LABELS = ("category", "categories", "label", "labels", "category_id")

Reader = Callable[[Any, ReadRequest], Parsed]


def reader_of(source: object) -> Reader | None:
    """The reader of an object in memory, chosen by the names of its classes; ``None`` if there is none for it."""
    for cls in type(source).__mro__:
        reader = _READERS.get((cls.__module__.partition(".")[0], cls.__name__))
        if reader is not None:
            return reader
    return _read_list if isinstance(source, list | tuple) else None


def _read_frame(frame: Any, request: ReadRequest) -> Parsed:
    """A table of pandas or polars, with the columns of a CSV file."""
    from drivetrain.data.readers.csv import read_rows

    columns = [str(name) for name in frame.columns]
    rows = frame.itertuples(index=False) if hasattr(frame, "itertuples") else frame.iter_rows()
    return read_rows([columns, *([cell_text(value) for value in row] for row in rows)], request, "the table")


def cell_text(value: Any) -> str:
    """A value as it would be in a CSV file; a missing value is empty, and several are separated by ``|``."""
    if value is None or value != value:
        return ""
    if isinstance(value, list | tuple):
        return "|".join(map(str, value))
    return str(value)


def _read_list(items: Sequence[Any], request: ReadRequest) -> Parsed:
    """Pairs of an image's path and its label or labels, or mappings whose keys are the columns of a CSV file."""
    from drivetrain.data.readers.csv import read_rows

    if not items:
        raise DataError("The list is empty; give pairs of an image's path and its label.")
    if all(isinstance(item, Mapping) for item in items):
        names = list(dict.fromkeys(str(key) for item in items for key in item))
        rows = [[cell_text(item.get(name)) for name in names] for item in items]
        return read_rows([names, *rows], request, "the list")
    for place, item in enumerate(items):
        if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str | Path):
            raise DataError(
                f"Entry {place} of the list is {item!r}; give pairs of an image's path and its label, such as "
                "('a.jpg', 'cat'), or mappings with the keys 'path' and 'label'."
            )
    return read_rows(
        [["path", "label"], *([str(path), cell_text(label)] for path, label in items)], request, "the list"
    )


def _read_torch(data: Any, request: ReadRequest) -> Parsed:
    """A torch data set of pairs: an image, and the number of its class or the targets of torchvision's detectors."""
    inner = getattr(data, "dataset", None)
    names = [str(name) for name in getattr(data, "classes", None) or getattr(inner, "classes", None) or ()]
    files = getattr(data, "samples", None)
    parsed = Parsed([], names, request.task or Task.CLASSIFICATION, "torch")
    if names and files and isinstance(files[0][0], str | Path):  # torchvision's folders: no image is opened
        parsed.records = [Record(str(Path(path).absolute()), labels=[int(label)]) for path, label in files]
        parsed.task = Task.CLASSIFICATION
        return parsed
    for index in range(len(data)):
        _add_pair(parsed, data[index], index)
    _number_names(parsed)
    return parsed


def _add_pair(parsed: Parsed, pair: Any, index: int) -> None:
    if not isinstance(pair, list | tuple) or len(pair) < 2:
        raise DataError(
            f"Item {index} of the torch data set is a {type(pair).__name__}; give pairs of an image and its target, or "
            "pass your own DataLoader to an engine of the framework."
        )
    image, target = pair[0], pair[1]
    record = Record(stored_image(image, f"item {index} of the torch data set"))
    if isinstance(target, Mapping) and "boxes" in target and "labels" in target:
        record.boxes = [float(value) for box in _listed(target["boxes"]) for value in box]
        record.box_labels = [int(label) for label in _listed(target["labels"])]
        parsed.task = Task.DETECTION
    else:
        record.labels = [_number(target, index)]
        parsed.task = Task.CLASSIFICATION
    parsed.records.append(record)


def _listed(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _number(target: Any, index: int) -> int:
    try:
        return int(target)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The target of item {index} of the torch data set is a {type(target).__name__}; read are the number of a "
            "class, or a mapping with 'boxes' and 'labels'."
        ) from error


def _number_names(parsed: Parsed) -> None:
    """Give names to the classes of a source that has only numbers."""
    most = max((label for r in parsed.records for label in (*r.labels, *(r.box_labels or ()))), default=-1)
    if not parsed.label_names:
        parsed.label_names = [f"class_{number}" for number in range(most + 1)]
        parsed.notes.append("The classes have no names; a data set with the attribute 'classes' gives them.")


def _read_hugging_face(data: Any, request: ReadRequest) -> Parsed:
    """A data set of the library ``datasets``, or several by their splits."""
    splits = data if isinstance(data, Mapping) else {str(getattr(data, "split", None) or "train"): data}
    return read_splits(splits, request, "hugging_face")


def read_splits(splits: Mapping[str, Any], request: ReadRequest, name: str) -> Parsed:
    """The rows of a data set's splits, each with an image and a label, labels or objects.

    Args:
        splits: subset -> rows: iterables with ``features`` that describe the columns.
        request: the user's request.
        name: the name of the format.

    Raises:
        DataError: the columns contain no images with labels, or a row cannot be read.
    """
    parsed = Parsed([], [], Task.CLASSIFICATION, name)
    for split, part in splits.items():
        _add_split(parsed, part, subset_name(split.partition("[")[0]), request)
    _number_names(parsed)
    return parsed


def _add_split(parsed: Parsed, part: Any, subset: str, request: ReadRequest) -> None:
    features = part.features
    image = _column(IMAGE_COLUMNS, features)
    with_objects = _OBJECTS in features and request.task not in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION)
    label = None if with_objects else _column(_LABEL_COLUMNS, features)
    if image is None or not (with_objects or label):
        raise DataError(
            f"The columns {', '.join(features)} of the data set contain no images with labels; call them "
            f"{_or(IMAGE_COLUMNS)}, and {_or(_LABEL_COLUMNS)} or {_OBJECTS!r}."
        )
    for index, row in enumerate(_undecoded(part, image)):
        record = Record(stored_image(row[image], f"row {index} of the split {subset!r}"), subset)
        if with_objects:
            _add_objects(parsed, record, row[_OBJECTS], features[_OBJECTS])
        else:
            assert label is not None
            parsed.label_names = parsed.label_names or _names_of(features[label])
            value = row[label]
            given = value if isinstance(value, list) else [value]
            record.labels = [_label_of(parsed, item) for item in given if item is not None]
            several = isinstance(value, list)
            parsed.task = Task.MULTILABEL_CLASSIFICATION if several else parsed.task
        parsed.records.append(record)


def _label_of(parsed: Parsed, value: Any) -> int:
    """The number of a label; text labels are numbered in order of appearance.

    Raises:
        DataError: it is neither a number nor a text, or a number without a name.
    """
    if isinstance(value, str):
        if value not in parsed.label_names:
            parsed.label_names.append(value)
        return parsed.label_names.index(value)
    if not isinstance(value, int) or value < 0 or (parsed.label_names and value >= len(parsed.label_names)):
        raise DataError(f"The label {value!r} is neither a name nor one of the {len(parsed.label_names)} classes.")
    return value


def _undecoded(part: Any, image: str) -> Iterator[Mapping[str, Any]]:
    """The rows, with the bytes or path of each image undecoded if the column contains images."""
    feature = type(part.features[image])
    yield from part.cast_column(image, feature(decode=False)) if feature.__name__ == "Image" else part


def _add_objects(parsed: Parsed, record: Record, objects: Any, feature: Any) -> None:
    """Boxes ``x, y, width, height`` in pixels, as in the hub's detection data sets."""
    rows = objects if isinstance(objects, Mapping) else {key: [item[key] for item in objects] for key in objects[0]}
    key = next((name for name in _OBJECT_LABELS if name in rows), "")
    if not key or "bbox" not in rows:
        raise DataError(f"The column {_OBJECTS!r} has {', '.join(rows)}; it needs 'bbox' and 'category'.")
    inner = getattr(feature, "feature", feature)
    parsed.label_names = parsed.label_names or _names_of(inner[key] if isinstance(inner, Mapping) else None)
    record.boxes, record.box_labels = [], [_label_of(parsed, label) for label in rows[key]]
    for box in rows["bbox"]:
        found = numbers(box)
        if found is None or len(found) != 4:
            raise DataError(f"{record.path} has the box {box!r}; a box is x, y, width and height.")
        record.boxes += [found[0], found[1], found[0] + found[2], found[1] + found[3]]
    if len(record.boxes) != 4 * len(record.box_labels):
        raise DataError(f"{record.path} has {len(record.boxes) // 4} boxes, but {len(record.box_labels)} labels.")
    parsed.task = Task.DETECTION


def _names_of(feature: Any) -> list[str]:
    inner = getattr(feature, "feature", None) or feature
    return [str(name) for name in getattr(inner, "names", None) or ()]


def _column(names: Sequence[str], features: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in features), None)


def _or(names: Sequence[str]) -> str:
    """The names with ``or`` before the last."""
    return f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"


_READERS: dict[tuple[str, str], Reader] = {
    ("pandas", "DataFrame"): _read_frame,
    ("polars", "DataFrame"): _read_frame,
    ("torch", "Dataset"): _read_torch,
    ("datasets", "Dataset"): _read_hugging_face,
    ("datasets", "DatasetDict"): _read_hugging_face,
}
