"""What a model answers about images."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from drivetrain.types.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer about one image; the fields of other tasks are ``None``.

    All coordinates and maps are in pixels of the upright original image.

    Attributes:
        path: the file the image came from (``""`` for arrays; ``video.mp4#12`` for frame 12 of a video).
        size: ``(height, width)`` of the original image.
        labels: ``(N,) int64``, 0-based. Classification: the best label (N = 1); multi-label: those with a
            probability of at least 0.5; otherwise one for each object, by falling score.
        scores: ``(N,) float32`` in 0..1, one for each label.
        boxes: ``(N, 4) float32`` xyxy.
        masks: ``(N, H, W) bool``.
        keypoints: ``(N, K, 3) float32`` x, y, visibility (as a confidence in 0..1).
        corners: ``(N, 4, 2) float32`` xy corners of oriented boxes, clockwise.
        probabilities: ``(C,) float32``, softmax (classification) or sigmoid (multi-label) of all classes.
        class_map: ``(H, W) int64`` (semantic segmentation).
        depth_map: ``(H, W) float32`` in the unit of the model.
        anomaly_score: 0..1, with 0.5 the threshold; anomalous means ``>= 0.5``.
        anomaly_map: ``(H, W) float32``.
        anomaly_mask: ``(H, W) bool``.
        explanation: text of a model that explains in words.
    """

    path: str
    size: tuple[int, int]
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    masks: NDArray[np.bool_] | None = None
    keypoints: NDArray[np.float32] | None = None
    corners: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    class_map: NDArray[np.int64] | None = None
    depth_map: NDArray[np.float32] | None = None
    anomaly_score: float | None = None
    anomaly_map: NDArray[np.float32] | None = None
    anomaly_mask: NDArray[np.bool_] | None = None
    explanation: str | None = None


class Predictions(Sequence[Prediction]):
    """The answers about a series of images, in the order of the images.

    Args:
        items: one prediction for each image.
        task: what was asked.
        label_names: the name of each label, by its number.
        skipped: ``(path, reason)`` of each image that could not be read.
    """

    def __init__(
        self,
        items: Iterable[Prediction],
        *,
        task: Task,
        label_names: Sequence[str],
        skipped: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._items = tuple(items)
        self.task = task
        self.label_names = tuple(label_names)
        self.skipped = tuple(skipped)

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
            return Predictions(self._items[index], task=self.task, label_names=self.label_names)
        return self._items[index]

    def __repr__(self) -> str:
        return f"Predictions({len(self)} images, task={self.task.value!r}, labels={len(self.label_names)})"

    def to_dataset(self) -> Any:
        """The predictions as a :class:`drivetrain.Dataset`, to be written in any format it knows.

        Returns:
            A data set in subset ``"predicted"`` with the predicted annotations; images without a file are refused.

        Raises:
            DataError: an image has no file to refer to.
        """
        return importlib.import_module("drivetrain.data.from_predictions").dataset_from_predictions(self)
