"""Tiles of training images, cut on the fly; nothing is written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.object_sizes import object_sizes
from drivetrain.engines.lightning.vision.placed import visible_objects
from drivetrain.errors import OptionError
from drivetrain.images.auto_tiling import choose_tile
from drivetrain.images.join_tiles import View
from drivetrain.images.read import read_image
from drivetrain.images.tiling import Tiling
from drivetrain.machine.resources import available_memory
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import Tile

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.runs.run import Run

_MEMORY_SHARE = 0.1


class RecentImages:
    """Decodes images and caches the recently used ones, since their tiles are needed one by one.

    Args:
        most: bytes to cache at most; a tenth of the free memory if not given.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = int(available_memory() * _MEMORY_SHARE) if most is None else most
        self._kept: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str) -> NDArray[np.uint8]:
        """``(H, W, 3) uint8``."""
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        image = read_image(path)
        with self._lock:
            self._kept[path] = image
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return image


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles cut out of the images of a data set.

    Attributes:
        tiling: how they are cut.
        items: (number of the image, part of it).
        images: decodes them.
    """

    tiling: Tiling
    items: list[tuple[int, View]]
    images: RecentImages = field(default_factory=RecentImages)

    def read(self, path: str) -> NDArray[np.uint8]:
        """``(H, W, 3) uint8`` of the whole image."""
        return self.images.read(path)


def chosen_tiling(tile: Tile | None, dataset: Dataset, spec: ImageSpec, run: Run) -> Tiling | None:
    """The requested tiling; "auto" takes what suits the objects, and notes the reason.

    Raises:
        OptionError: "auto" without objects.
    """
    if tile != "auto":
        return Tiling.of(tile)
    sizes = object_sizes(dataset)
    if sizes is None:
        raise OptionError(
            "tile='auto' depends on the sizes of objects, but the data have none. Give the side of a tile."
        )
    choice = choose_tile(sizes, max(spec.size))
    run.note(f"tile='auto': {choice.reason}.")
    return Tiling.of(choice.tile)


def tiles_to_learn(dataset: Dataset, task: Task, tiling: Tiling, seed: int, run: Run) -> Tiles:
    """All tiles with objects and as many without, drawn at random; for class maps all tiles.

    Whole images are included too, since objects are also searched for in them.
    """
    items = _all(dataset, task, tiling)
    if not task.has_objects:
        return Tiles(tiling, items)
    full = [bool(visible_objects(dataset[number], view)) for number, view in items]
    empty = np.flatnonzero(~np.array(full, np.bool_))
    kept = set(np.random.default_rng(seed).permutation(empty)[: max(1, sum(full))].tolist())
    chosen = [item for place, item in enumerate(items) if full[place] or place in kept]
    run.note(
        f"{len(chosen)} tiles of {tiling.size} px of {len(dataset)} images are used for training: {sum(full)} with "
        f"objects, {len(chosen) - sum(full)} of {len(empty)} without."
    )
    return Tiles(tiling, chosen)


def tiles_to_ask(dataset: Dataset, task: Task, tiling: Tiling) -> Tiles:
    """All tiles, image by image, as in prediction."""
    return Tiles(tiling, _all(dataset, task, tiling))


def _all(dataset: Dataset, task: Task, tiling: Tiling) -> list[tuple[int, View]]:
    sizes = dataset.sizes.tolist()
    return [
        (number, view)
        for number, (height, width) in enumerate(sizes)
        for view in tiling.views((int(height), int(width)), whole=task.has_objects)
    ]
