"""Predictions in a file or folder: JSON, a table, a format of annotations, or drawn pictures."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivetrain.data.from_predictions import dataset_from_predictions, has_file, image_names
from drivetrain.data.write import write_dataset
from drivetrain.data.writers import WRITERS
from drivetrain.data.writers.coco import document_of
from drivetrain.data.writers.mot import mot_lines
from drivetrain.data.writers.prediction_table import write_table
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError, near
from drivetrain.images.frames import FrameReader
from drivetrain.images.read import read_image
from drivetrain.machine import files
from drivetrain.types import Prediction, Predictions, Task

_IMAGES = "images"
_BY_SUFFIX = {".json": "json", ".csv": "csv"}
#: The formats that are a single file, with the suffix that each requires.
_FILES = {"json": ".json", "csv": ".csv", "mot": ".txt"}
_ALL = frozenset(Task)
_MAPPED = _ALL - {Task.DEPTH}
_BOXED = frozenset(task for task in Task if task.has_objects)
#: The tasks whose predictions each format can store.
HOLDS = {
    "json": _ALL,
    "csv": _MAPPED,
    "coco": _MAPPED,
    "yolo": (_BOXED - {Task.INSTANCE_SEGMENTATION}) | {Task.CLASSIFICATION},  # predicted masks are not polygons
    "voc": _BOXED,
    "cvat": _MAPPED,
    "dota": frozenset({Task.DETECTION, Task.ORIENTED_DETECTION}),
    "mvtec": frozenset({Task.ANOMALY}),
    "label_studio": _MAPPED - {Task.KEYPOINT_DETECTION},
    "labelme": _MAPPED - {Task.KEYPOINT_DETECTION},
    "parquet": _MAPPED,
    "datumaro": _MAPPED,
    "image_folder": frozenset({Task.CLASSIFICATION}),
    "mot": _BOXED,
    _IMAGES: _ALL,
}


def check_output(
    path: str | Path,
    format: str | None,  # noqa: A002
    task: Task | None,
    *,
    save_media: bool = False,
    name: str = "path",
) -> str:
    """The format to write in, after every check that is possible before predicting.

    Args:
        path: where to write.
        format: the format; ``None`` to derive it from the suffix.
        task: the task; ``None`` if it is not known yet.
        save_media: whether to copy images.
        name: what the caller calls ``path``.

    Raises:
        OptionError: the format is unknown or does not fit the path.
        UnsupportedOptionError: the format cannot store predictions of the task.
        DataError: the folder is not empty, or the file is a folder.
    """
    option = "format" if name == "path" else f"{name}_format"
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    chosen = format or _BY_SUFFIX.get(suffix) or (_IMAGES if not suffix else None)
    if chosen not in HOLDS:
        what = f"{option}={format!r} is not a format of predictions."
        what = what if format else f"{name}={str(path)!r} does not imply a format; give {option}."
        raise OptionError(f"{what}{near(str(format), HOLDS)} Allowed: {', '.join(HOLDS)}.")
    if task is not None and task not in HOLDS[chosen]:
        able = [other for other, tasks in HOLDS.items() if task in tasks]
        raise UnsupportedOptionError(
            f"{option}={chosen!r} cannot store predictions of {task.value}. Use {', '.join(map(repr, able))}."
        )
    if save_media and (chosen not in WRITERS or not needs_pixels(target, chosen)):
        raise OptionError(f"save_media=True: {option}={chosen!r} at {name}={str(path)!r} has no place for images.")
    _check_target(target, chosen, f"{name}={str(path)!r}", f"{option}={chosen!r}")
    return chosen


def _check_target(target: Path, chosen: str, path: str, option: str) -> None:
    """Check that the path can be the file or the folder that is to be written.

    Raises:
        OptionError: the suffix is wrong.
        DataError: something else exists there.
    """
    suffix = _FILES.get(chosen)
    if suffix is not None and target.suffix.lower() != suffix:
        raise OptionError(f"{path}: {option} is one file, whose name must end in {suffix}.")
    if not needs_pixels(target, chosen):
        if target.is_dir():
            raise DataError(f"{path} is a folder, but {option} is written to one file.")
    elif target.exists() and not target.is_dir():
        raise DataError(f"{path} is a file, but {option} is written to a folder.")
    elif chosen != _IMAGES and target.is_dir() and any(target.iterdir()):
        raise DataError(f"{path} already has something in it. Name a folder that does not exist yet.")


def needs_pixels(path: str | Path, format: str) -> bool:  # noqa: A002
    """Whether frames and arrays must be kept to be written; not if names are enough."""
    return format not in _FILES and not (format == "coco" and Path(path).suffix.lower() == ".json")


def save_predictions(
    predictions: Predictions,
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    draw: Callable[[Predictions, Path], Any],
    save_media: bool = False,
) -> Path:
    """Write predictions; see :meth:`drivetrain.types.Predictions.save`.

    Args:
        predictions: the predictions.
        path: a file or a folder.
        format: one of :data:`HOLDS`; ``None`` to derive it from the suffix.
        draw: a function that draws predictions into a folder.
        save_media: copy the images.

    Returns:
        The file or folder written.
    """
    chosen = check_output(path, format, predictions.task, save_media=save_media)
    target = Path(path).expanduser()
    _keep_sources(predictions, target)
    if chosen == _IMAGES:
        draw(predictions, target)
    elif chosen == "json":
        files.write_text(target, predictions.to_json(indent=2) + "\n")
    elif chosen == "csv":
        with files.whole_file(target) as partial:
            write_table(predictions, image_names(predictions), partial)
    elif chosen == "mot":
        files.write_text(target, "".join(mot_lines(predictions)))
    elif not needs_pixels(target, chosen):
        _write_coco_file(predictions, target)
    else:
        _write_folder(predictions, target, chosen, save_media=save_media)
    return target


def _keep_sources(predictions: Predictions, target: Path) -> None:
    place = os.path.abspath(target)  # noqa: PTH100 - links are not followed
    if any(item.path and os.path.abspath(item.path) == place for item in predictions):  # noqa: PTH100
        raise DataError(f"path={str(target)!r} would replace an image that was predicted on; choose another.")


def _write_coco_file(predictions: Predictions, target: Path) -> None:
    """One document for pycocotools; images below its folder are named relative to it."""
    data = dataset_from_predictions(predictions, files_only=False)
    folder = Path(os.path.abspath(target.parent))  # noqa: PTH100 - links are not followed
    names = [_relative(name, folder) for name in data.paths]
    info = {"description": f"predictions, {predictions.task.value}"}
    document = document_of(data, range(len(data)), names)
    files.write_text(target, json.dumps({"info": info, "licenses": [], **document}))


def _relative(name: str, folder: Path) -> str:
    return Path(name).relative_to(folder).as_posix() if Path(name).is_relative_to(folder) else name


def _write_folder(predictions: Predictions, target: Path, format: str, *, save_media: bool) -> None:  # noqa: A002
    """A folder of annotations with the images; images without a file are first written next to it."""
    if all(has_file(item) for item in predictions):
        write_dataset(dataset_from_predictions(predictions), target, format, save_media=save_media)
        return
    with files.explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            written = _with_files(predictions, Path(folder))
            write_dataset(dataset_from_predictions(written), target, format, save_media=True)


def _with_files(predictions: Predictions, folder: Path) -> Predictions:
    """The predictions with frames and arrays as PNG files in the folder."""
    frames = FrameReader()
    items = []
    for number, item in enumerate(predictions):
        if not has_file(item):
            stem = Path(item.path).name.replace("#", "_") if item.path else f"image_{number:06}"
            file = folder / f"{number}" / f"{stem}.png"
            _write_image(item, frames, file)
            item = replace(item, path=str(file), image=None)
        items.append(item)
    return Predictions(items, task=predictions.task, label_names=predictions.label_names, skipped=predictions.skipped)


def _write_image(item: Prediction, frames: FrameReader, file: Path) -> None:
    from PIL import Image

    if item.image is None and not item.path:
        raise DataError(
            "An image that was given as an array, by a generator, was not kept, so it cannot be written. Give a list "
            "of arrays, or give predict output=..., which keeps them; 'json', 'csv' and a '.json' "
            "file of 'coco' need no images."
        )
    pixels = read_image(item.image) if item.image is not None else frames.read(item.path)
    file.parent.mkdir()
    Image.fromarray(pixels).save(file)
