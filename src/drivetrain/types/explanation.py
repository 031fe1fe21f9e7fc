"""Explanations of answers: which regions of an image support a label, an object or an anomaly."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from drivetrain.types.image_spec import ImageSpec
from drivetrain.types.prediction import Prediction
from drivetrain.types.task import Task

#: Implemented in higher layers, as those of predictions are; see docs/adr/0003.
_MAKERS = {
    "picture": "drivetrain.report.explained:draw_explanation",
    "pictures": "drivetrain.report.explained:draw_explanations",
    "save": "drivetrain.report.explained:save_explanations",
    "picture_file": "drivetrain.report.explained:save_explanation",
    "html": "drivetrain.report.explained:explanation_html",
    "htmls": "drivetrain.report.explained:explanations_html",
}


def _maker(name: str) -> Any:
    module, _, function = _MAKERS[name].partition(":")
    return getattr(importlib.import_module(module), function)


@dataclass(frozen=True, slots=True, eq=False)
class CellScores:
    """The output of a classifier's head for each single cell of its last feature map.

    Attributes:
        prediction: the answer about the whole image.
        scores: ``(C, h, w) float32``, the logit of each label for each cell.
        image_spec: how the image became the model input, over which the cells lie.
    """

    prediction: Prediction
    scores: NDArray[np.float32]
    image_spec: ImageSpec


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation:
    """The regions of one image that support the answer; notebooks show it as a picture.

    Attributes:
        path: the file the image came from (``""`` for arrays, ``video.mp4#12`` for frame 12 of a video).
        size: ``(height, width)`` of the original image.
        saliency: ``(H, W) float32`` in 0..1 over the original image; 1 supports the answer most. For an anomaly model
            it is its own map, with the threshold at 0.5.
        method: the method used: ``"cam"``, ``"rise"`` or ``"map"``.
        label: the number of the explained label; ``None`` for anomalies.
        score: the score of the label or object on the whole image; for anomaly models the score of the image.
        box: ``(4,) float32`` xyxy of the explained object; ``None`` if there is none.
        index: the index of that object in the prediction; ``None`` if there is none.
        label_names: the name of each label, by its number.
        image: the image as given, if it has no file and was kept for drawing.
    """

    path: str
    size: tuple[int, int]
    saliency: NDArray[np.float32]
    method: str
    label: int | None = None
    score: float | None = None
    box: NDArray[np.float32] | None = None
    index: int | None = None
    label_names: tuple[str, ...] = ()
    image: Any = None

    def __repr__(self) -> str:
        height, width = self.size
        return f"Explanation({self.path!r}, {width} x {height} pixels: {self.what}, {self.method})"

    @property
    def label_name(self) -> str | None:
        """The name of the explained label, or its number if it has no name."""
        if self.label is None:
            return None
        return self.label_names[self.label] if self.label < len(self.label_names) else str(self.label)

    @property
    def what(self) -> str:
        """What is explained, in a few words with its score, such as ``cat 0.93``."""
        name = "anomaly" if self.label_name is None else self.label_name
        named = name if self.index is None else f"object {self.index}, {name}"
        return named if self.score is None else f"{named} {self.score:.2f}"

    @property
    def peak(self) -> tuple[int, int]:
        """The pixel (x, y) that supports the answer most; the middle one of several."""
        rows, columns = np.nonzero(self.saliency >= self.saliency.max())
        return int(np.median(columns)), int(np.median(rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the map itself."""
        x, y = self.peak
        return {
            "path": self.path,
            "size": list(self.size),
            "method": self.method,
            "label": self.label_name,
            "label_number": self.label,
            "score": self.score,
            "object": self.index,
            "box": None if self.box is None else [float(value) for value in self.box],
            "peak": [x, y],
        }

    def draw(self, image: Any = None, *, opacity: float = 0.6) -> NDArray[np.uint8]:
        """Draw the map over its image, next to the plain image.

        Args:
            image: the image, if there is neither a file nor a kept image: an array (RGB), a PIL image, bytes or a path.
            opacity: opacity of the map where it is strongest, 0..1.

        Returns:
            ``(H', W', 3) uint8`` RGB.

        Raises:
            DataError: there is no image to draw on, or its size differs.
            ImageError: the image cannot be read.
        """
        picture: NDArray[np.uint8] = _maker("picture")(self, image, opacity=opacity)
        return picture

    def save(self, path: str | Path, *, image: Any = None) -> Path:
        """Write the drawn picture (``.jpg``, ``.png``, ``.webp``).

        Args:
            path: the file; an existing one is replaced, but never the image itself.
            image: see :meth:`draw`.

        Returns:
            The file.

        Raises:
            DataError: there is no image to draw on, or the suffix is not supported.
            StorageError: it cannot be written.
        """
        saved: Path = _maker("picture_file")(self, path, image)
        return saved

    def _repr_html_(self) -> str:
        return str(_maker("html")(self))


class Explanations(Sequence[Explanation]):
    """The explanations of a series of images, in the order of the images.

    Args:
        items: one per image with something to explain.
        task: the task of the model.
        label_names: the name of each label, by its number.
        skipped: ``(path, reason)`` of each image that could not be read, or has nothing to explain.
    """

    def __init__(
        self,
        items: Iterable[Explanation],
        *,
        task: Task,
        label_names: Sequence[str],
        skipped: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.task = task
        self.label_names = tuple(label_names)
        self.skipped = tuple(skipped)
        self._items = tuple(replace(item, label_names=self.label_names) for item in items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    @overload
    def __getitem__(self, index: slice) -> Explanations: ...

    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        if isinstance(index, slice):
            return Explanations(self._items[index], task=self.task, label_names=self.label_names)
        return self._items[index]

    def __repr__(self) -> str:
        skipped = f"; {len(self.skipped)} skipped" if self.skipped else ""
        images = "1 image" if len(self) == 1 else f"{len(self)} images"
        return f"Explanations({images}, {self.task.value}{skipped})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: what is explained on each image, and where its map is strongest."""
        return {
            "task": self.task.value,
            "label_names": list(self.label_names),
            "explanations": [item.to_dict() for item in self],
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }

    def draw(self, *, opacity: float = 0.6) -> Iterator[NDArray[np.uint8]]:
        """Draw each map over its image, one after the other; see :meth:`Explanation.draw`.

        Args:
            opacity: opacity of the maps where they are strongest, 0..1.

        Yields:
            ``(H', W', 3) uint8`` RGB.

        Raises:
            DataError: an image has no file and was not kept.
            ImageError: an image cannot be read.
        """
        yield from _maker("pictures")(self, opacity=opacity)

    def save(self, path: str | Path) -> Path:
        """Write drawn pictures to a folder, or all maps to one ``.npz`` file.

        Args:
            path: a folder, or a file ``.npz`` with ``map_0``, ``map_1``, ... ``(H, W) float32`` and ``paths``,
                ``labels`` and ``scores``; an existing one is replaced.

        Returns:
            The folder or file.

        Raises:
            DataError: an image that is needed was not kept, or the suffix is not supported.
            StorageError: it cannot be written.
        """
        saved: Path = _maker("save")(self, path)
        return saved

    def _repr_html_(self) -> str:
        return str(_maker("htmls")(self))
