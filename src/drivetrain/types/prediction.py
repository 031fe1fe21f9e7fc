"""What a model answers about images."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from drivetrain.types.summary import count_classes, counts_in_words, summary_of
from drivetrain.types.task import ANOMALY_LABELS, Task
from drivetrain.types.truth import Truth

_THRESHOLD = 0.5
#: What higher rooms make of predictions, looked up when a method is called: users look for these methods on the
#: predictions, yet types must not depend on Arrow, OpenCV or Pillow. See docs/adr/0003.
_MAKERS = {
    "dataset": "drivetrain.data.from_predictions:dataset_from_predictions",
    "dict": "drivetrain.data.plain_predictions:plain_prediction",
    "dicts": "drivetrain.data.plain_predictions:plain_predictions",
    "file": "drivetrain.data.save_predictions:save_predictions",
    "picture": "drivetrain.report.answers:draw_prediction",
    "pictures": "drivetrain.report.answers:draw_predictions",
    "drawings": "drivetrain.report.save:save_drawings",
    "picture_file": "drivetrain.report.answers:save_prediction",
    "html": "drivetrain.report.notebook:prediction_html",
    "htmls": "drivetrain.report.notebook:predictions_html",
    "show": "drivetrain.report.notebook:show",
}


def _maker(name: str) -> Any:
    module, _, function = _MAKERS[name].partition(":")
    return getattr(importlib.import_module(module), function)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prediction:
    """The answer about one image; fields of other tasks are ``None``.

    All coordinates and maps are in pixels of the upright original image. In a notebook it is displayed as a picture.

    Attributes:
        path: the file the image came from (``""`` for arrays; ``video.mp4#12`` for frame 12 of a video).
        size: ``(height, width)`` of the original image.
        labels: ``(N,) int64``, 0-based. Classification: the best label (N = 1); multi-label: those with a
            probability of at least 0.5; otherwise one for each object, by descending score.
        scores: ``(N,) float32`` in 0..1, one for each label.
        boxes: ``(N, 4) float32`` xyxy.
        masks: ``(N, H, W) bool``.
        keypoints: ``(N, K, 3) float32`` x, y, visibility (as a confidence in 0..1).
        corners: ``(N, 4, 2) float32`` xy corners of oriented boxes, clockwise.
        track_ids: ``(N,) int64`` the number of each object over the frames of a video, -1 for those that no track has;
            only where ``track`` was asked for.
        probabilities: ``(C,) float32``, softmax (classification) or sigmoid (multi-label) of all classes.
        class_map: ``(H, W) int64`` (semantic segmentation).
        depth_map: ``(H, W) float32`` in the unit of the model.
        anomaly_score: 0..1, with 0.5 the threshold; anomalous means ``>= 0.5``.
        anomaly_map: ``(H, W) float32``.
        anomaly_mask: ``(H, W) bool``.
        explanation: the text, from a model that explains in words.
        label_names: the name of each label, by its number.
        image: the image as given (array, PIL image or bytes), if it has no file and was kept for drawing.
        timestamp: seconds, of a frame of a video from its start, of a camera or stream since 1970; else ``None``.
    """

    path: str
    size: tuple[int, int]
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    masks: NDArray[np.bool_] | None = None
    keypoints: NDArray[np.float32] | None = None
    corners: NDArray[np.float32] | None = None
    track_ids: NDArray[np.int64] | None = None
    probabilities: NDArray[np.float32] | None = None
    class_map: NDArray[np.int64] | None = None
    depth_map: NDArray[np.float32] | None = None
    anomaly_score: float | None = None
    anomaly_map: NDArray[np.float32] | None = None
    anomaly_mask: NDArray[np.bool_] | None = None
    explanation: str | None = None
    label_names: tuple[str, ...] = ()
    image: Any = None
    timestamp: float | None = None

    def __repr__(self) -> str:
        height, width = self.size
        return f"Prediction({self.path!r}, {width} x {height} pixels: {summary_of(self)})"

    @property
    def label(self) -> int | None:
        """The number of the label with the highest score; ``None`` if there are no labels."""
        if self.labels is None or not len(self.labels):
            return None
        return int(self.labels[0 if self.scores is None else int(np.argmax(self.scores))])

    @property
    def label_name(self) -> str | None:
        """The name of :attr:`label`."""
        return None if self.label is None else self.name_of(self.label)

    @property
    def is_anomalous(self) -> bool | None:
        """Whether the anomaly score reaches the threshold; ``None`` if there is no score."""
        return None if self.anomaly_score is None else self.anomaly_score >= _THRESHOLD

    def name_of(self, label: int | np.int64) -> str:
        """The name of a label, or its number if it has no name."""
        return self.label_names[label] if 0 <= label < len(self.label_names) else str(int(label))

    def class_counts(self) -> dict[str, int]:
        """How often each class occurs in the image; classes that do not occur are omitted."""
        return dict(count_classes(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: labels with their names, masks as COCO run lengths, without whole-image maps."""
        return dict(_maker("dict")(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as a JSON document."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def draw(self, image: Any = None, *, min_score: float = 0.0, opacity: float = 0.45) -> NDArray[np.uint8]:
        """Draw the answer on its image; see :func:`drivetrain.report.draw`.

        Args:
            image: the image, needed if the prediction has neither a file nor a kept image: an array (RGB), a PIL
                image, bytes or a path.
            min_score: leave out objects with a lower score.
            opacity: of masks and maps, 0..1.

        Returns:
            ``(H', W', 3) uint8`` RGB.

        Raises:
            DataError: there is no image to draw on, or its size differs.
            ImageError: the image cannot be read.
        """
        picture: NDArray[np.uint8] = _maker("picture")(self, image, min_score=min_score, opacity=opacity)
        return picture

    def show(self, image: Any = None) -> None:
        """Show the picture: below the cell in a notebook, otherwise in the system's picture viewer.

        Args:
            image: see :meth:`draw`.

        Raises:
            DataError: there is no image to draw on.
            UnsupportedError: there is no screen or no viewer.
        """
        _maker("show")(self, image)

    def save(self, path: str | Path, *, image: Any = None) -> Path:
        """Write the drawn picture (``.jpg``, ``.png``, ``.webp``) or the answer as data (``.json``).

        Args:
            path: the file; an existing one is replaced, except the image itself.
            image: see :meth:`draw`.

        Returns:
            The file.

        Raises:
            DataError: there is no image to draw on, or the suffix is not supported.
            StorageError: the file cannot be written.
        """
        saved: Path = _maker("picture_file")(self, path, image)
        return saved

    def _repr_html_(self) -> str:
        return str(_maker("html")(self))


class Predictions(Sequence[Prediction]):
    """The answers about a series of images, in the order of the images.

    In a notebook it displays the first pictures and the counts.

    Args:
        items: one prediction for each image.
        task: the task of the model.
        label_names: the name of each label, by its number.
        skipped: ``(path, reason)`` of each image that could not be read.
        truth: the annotated sample of each image, if the source is a data set.
    """

    def __init__(
        self,
        items: Iterable[Prediction],
        *,
        task: Task,
        label_names: Sequence[str],
        skipped: Sequence[tuple[str, str]] = (),
        truth: Truth | None = None,
    ) -> None:
        self.task = task
        self.label_names = tuple(label_names)
        self.skipped = tuple(skipped)
        self.truth = truth
        self._items = tuple(
            item if item.label_names == self.label_names else replace(item, label_names=self.label_names)
            for item in items
        )

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> Predictions: ...

    def __getitem__(self, index: int | slice) -> Prediction | Predictions:
        if isinstance(index, slice):
            return Predictions(self._items[index], task=self.task, label_names=self.label_names, truth=self.truth)
        return self._items[index]

    def __repr__(self) -> str:
        counts = "" if self.task is Task.DEPTH else f": {counts_in_words(self.class_counts())}"
        skipped = f"; {len(self.skipped)} skipped" if self.skipped else ""
        images = "1 image" if len(self) == 1 else f"{len(self)} images"
        return f"Predictions({images}, {self.task.value}{counts}{skipped})"

    def class_counts(self) -> dict[str, int]:
        """How often each class was predicted: counting objects where objects are found, otherwise images.

        Returns:
            Every label name with its count, 0 if it does not occur; ``"normal"`` and ``"anomalous"`` for
            anomaly detection.
        """
        names = ANOMALY_LABELS if self.task is Task.ANOMALY else self.label_names
        counts: Counter[str] = Counter(dict.fromkeys(names, 0))
        for item in self:
            counts.update(count_classes(item))
        return dict(counts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: task, label names, each prediction (with its truth if known), skipped images.

        Undefined values (NaN) become ``None``, masks are COCO run lengths, and whole-image maps are left out.
        """
        return dict(_maker("dicts")(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as a JSON document."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def to_dataset(self) -> Any:
        """The predictions as a :class:`drivetrain.Dataset`, which can be written in any format it supports.

        Returns:
            A data set with the predicted annotations in subset ``"predicted"``.

        Raises:
            DataError: an image has no file to refer to.
        """
        return _maker("dataset")(self)

    def draw(self, *, min_score: float = 0.0, opacity: float = 0.45) -> Iterator[NDArray[np.uint8]]:
        """Draw each answer on its image, one after the other; see :meth:`Prediction.draw`.

        Args:
            min_score: leave out objects with a lower score.
            opacity: of masks and maps, 0..1.

        Yields:
            ``(H', W', 3) uint8`` RGB.

        Raises:
            DataError: an image has no file and was not kept.
            ImageError: an image cannot be read.
        """
        yield from _maker("pictures")(self, min_score=min_score, opacity=opacity)

    def show(self) -> None:
        """Show the first pictures together: below the cell in a notebook, otherwise in the system's picture viewer.

        Raises:
            DataError: an image has no file and was not kept.
            UnsupportedError: there is no screen or no viewer.
        """
        _maker("show")(self)

    def save(self, path: str | Path, format: str | None = None, *, save_media: bool = False) -> Path:  # noqa: A002
        """Write the answers in a standard format, or as drawn pictures.

        Args:
            path: a file (``.json``, ``.csv``), which is replaced if it exists, or a folder.
            format: ``"json"`` (everything), ``"csv"`` (a table), ``"coco"`` (one file with scores if ``path`` ends in
                ``.json``, else a folder), a folder of ``"yolo"``, ``"voc"``, ``"cvat"``, ``"dota"``, ``"mvtec"``,
                ``"label_studio"``, ``"labelme"``, ``"parquet"``, ``"datumaro"`` or ``"image_folder"``, ``"mot"`` (a
                ``.txt`` of tracks), or ``"images"`` (drawn pictures). Derived from the suffix of ``path`` if not given;
                a folder then gets drawn pictures.
            save_media: copy the images into the folder instead of linking to them. Frames and arrays, which have
                no file to link to, are always written.

        Returns:
            The file or folder.

        Raises:
            OptionError: the format is not known, cannot hold this task, or does not fit the path.
            DataError: the folder is not empty, or an image that is needed was not kept.
            StorageError: a file cannot be written.
        """
        saved: Path = _maker("file")(self, path, format, save_media=save_media, draw=_maker("drawings"))
        return saved

    def _repr_html_(self) -> str:
        return str(_maker("htmls")(self))
