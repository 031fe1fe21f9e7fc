"""Tiling of large images: where the tiles are cut, and how their answers are joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.images.join_tiles import View, join_anomalies, join_class_maps, join_objects
from drivetrain.types import Prediction, Task

_OVERLAP = 0.2
_MOST_OVERLAP = 0.9
_JOINS: dict[Task, Callable[[str, tuple[int, int], Sequence[View], Sequence[Prediction]], Prediction]] = {
    Task.DETECTION: join_objects,
    Task.INSTANCE_SEGMENTATION: join_objects,
    Task.KEYPOINT_DETECTION: join_objects,
    Task.SEMANTIC_SEGMENTATION: join_class_maps,
    Task.ANOMALY: join_anomalies,
}


@dataclass(frozen=True, slots=True)
class Tiling:
    """How images are cut into tiles.

    Attributes:
        size: side of a tile, in pixels of the image.
        overlap: overlap of neighbouring tiles, as a fraction of the side.
    """

    size: int
    overlap: float = _OVERLAP

    @classmethod
    def of(cls, value: Any) -> Tiling | None:
        """The tiling requested by an option ``tile``; ``None`` for none, and for "auto", which is chosen elsewhere.

        Raises:
            OptionError: it is neither a size nor a size with an overlap.
        """
        if value is None or value == "auto":
            return None
        size, overlap = value if isinstance(value, tuple | list) and len(value) == 2 else (value, _OVERLAP)
        whole = isinstance(size, int) and not isinstance(size, bool)
        share = isinstance(overlap, int | float) and not isinstance(overlap, bool)
        if not whole or size < 1 or not share or not 0 <= overlap <= _MOST_OVERLAP:
            raise OptionError(
                f"tile={value!r} is not allowed. Give the side of a tile in pixels of the image, such as 640, or the "
                f"side and the overlap as a fraction, such as (640, 0.2); at most {_MOST_OVERLAP}. Or 'auto'."
            )
        return cls(size, float(overlap))

    def views(self, size: tuple[int, int], *, whole: bool) -> list[View]:
        """The tiles of an image, row by row, each of the requested size or as large as the image allows.

        Args:
            size: (height, width) of the image.
            whole: also include the whole image, if it has more than one tile.
        """
        height, width = size
        rows, columns = self._starts(height), self._starts(width)
        found = [
            View(left, top, min(left + self.size, width), min(top + self.size, height))
            for top in rows
            for left in columns
        ]
        return [*found, View(0, 0, width, height)] if whole and len(found) > 1 else found

    def _starts(self, length: int) -> list[int]:
        if length <= self.size:
            return [0]
        step = max(1, round(self.size * (1 - self.overlap)))
        count = -(-(length - self.size) // step) + 1
        return [round(number * (length - self.size) / (count - 1)) for number in range(count)]


def can_tile(task: Task) -> bool:
    """Whether a task's answers on tiles can be joined."""
    return task in _JOINS


def join_views(
    task: Task, path: str, size: tuple[int, int], views: Sequence[View], parts: Sequence[Prediction]
) -> Prediction:
    """Join the answers about the parts of an image.

    Args:
        task: the task of the model.
        path: the path of the image.
        size: (height, width) of the image.
        views: the locations of the parts.
        parts: the answers, each in pixels of its part.
    """
    return parts[0] if len(parts) == 1 else _JOINS[task](path, size, views, parts)


def check_tile(value: Any, task: Task | None = None) -> None:
    """Refuse a ``tile`` that is not valid, or that the task does not support.

    Raises:
        OptionError: the value is not allowed.
        UnsupportedOptionError: the answers of this task cannot be joined.
    """
    Tiling.of(value)
    if value == "auto" and task in _JOINS and not task.has_objects:
        raise UnsupportedOptionError(
            f"tile='auto' cannot be honoured: it depends on the sizes of objects, and a model for {task.value} "
            "finds none. Give the side of a tile, such as 640."
        )
    if value is not None and task is not None and task not in _JOINS:
        raise UnsupportedOptionError(
            f"tile={value!r} cannot be honoured: answers about tiles can be joined for "
            f"{', '.join(item.value for item in _JOINS)}, and this model is for {task.value}. Leave it out."
        )


class Cutter:
    """Cuts a stream of images into tiles, and joins the answers about them in the same order.

    Args:
        tiling: how to cut.
        task: the task of the model.

    Objects are also searched for in the whole image, so that those larger than a tile are found.
    """

    def __init__(self, tiling: Tiling, task: Task) -> None:
        self._tiling, self._task = tiling, task
        self._cut: deque[tuple[str, tuple[int, int], list[View]]] = deque()

    def crops(self, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """The tiles of all images, ``(path, (h, w, 3) uint8 RGB)``."""
        for path, image in images:
            size = (image.shape[0], image.shape[1])
            views = self._tiling.views(size, whole=self._task.has_objects)
            self._cut.append((path, size, views))
            for view in views:
                yield path, np.ascontiguousarray(image[view.top : view.bottom, view.left : view.right])

    def join(self, answers: Iterable[Prediction]) -> Iterator[Prediction]:
        """One answer for each image, joined from those about its tiles."""
        parts: list[Prediction] = []
        for answer in answers:
            parts.append(answer)
            path, size, views = self._cut[0]
            if len(parts) == len(views):
                self._cut.popleft()
                yield join_views(self._task, path, size, views, parts)
                parts = []
