"""Batches of images with objects or class maps, decoded ahead in threads."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivetrain.data.object_rows import ObjectRows
from drivetrain.engines.lightning.data import ImageLoader, Labelled
from drivetrain.engines.lightning.vision.adapter import Target
from drivetrain.engines.lightning.vision.mosaic import mosaic_of
from drivetrain.engines.lightning.vision.placed import Placed, SceneAugmentation, place
from drivetrain.engines.lightning.vision.tiles import Tiles, chosen_tiling, tiles_to_ask, tiles_to_learn
from drivetrain.errors import DataError
from drivetrain.images.join_tiles import View
from drivetrain.images.masks import IGNORED
from drivetrain.images.read import read_image
from drivetrain.torch_training.several_devices import usual_batch
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.runs.run import Run

_BATCH_SIZE = 8


class SceneLoader(ImageLoader):
    """Iterates over ``(images (B, 3, H, W) uint8, targets)`` with one :class:`Target` per image or tile.

    Args:
        dataset: the images of one subset.
        spec: the size to which images are resized.
        task: determines the annotations that are needed.
        changes: how training images are augmented; ``None`` for no augmentation.
        mosaic: the probability that an image is composed of four.
        tiles: the parts cut out of the images, in the order of the items; ``None`` for whole images.
        more: arguments of :class:`~drivetrain.engines.lightning.data.ImageLoader`.
    """

    def __init__(
        self,
        dataset: Dataset,
        spec: ImageSpec,
        task: Task,
        *,
        changes: SceneAugmentation | None = None,
        mosaic: float = 0.0,
        tiles: Tiles | None = None,
        **more: Any,
    ) -> None:
        self.tiles = tiles
        paths = dataset.paths if tiles is None else [dataset.paths[number] for number, _ in tiles.items]
        super().__init__(Labelled(paths, np.arange(len(paths))), spec, **more)
        self.dataset, self.task, self.changes, self.mosaic = dataset, task, changes, mosaic
        names = [name.lower() for name in dataset.label_names]
        self.background = names.index("background") if "background" in names else IGNORED

    def item(self, number: int) -> tuple[int, View | None]:
        """The number of an item's image, and the part cut out of it."""
        return (number, None) if self.tiles is None else self.tiles.items[number]

    def _images(self, numbers: NDArray[np.int64], epoch: int) -> list[tuple[NDArray[np.uint8], Target]]:
        scenes = []
        for number in numbers.tolist():
            scene = self._scene(number)
            if self.changes is not None:
                scene = self.changes.apply(self._mixed(scene, number, epoch), (self.seed, epoch, number), self._fill)
            scenes.append((scene.image, as_target(scene, number)))
        return scenes

    @property
    def _fill(self) -> int:
        return self.spec.pad_value

    def _scene(self, number: int) -> Placed:
        image, view = self.item(number)
        read = read_image if self.tiles is None else self.tiles.read
        return place(read(self.data.paths[number]), self.dataset[image], self.spec, self.task, self.background, view)

    def _mixed(self, scene: Placed, number: int, epoch: int) -> Placed:
        """The scene, or one composed of it and three others; the same for the same seed and epoch."""
        if not self.mosaic:
            return scene
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=(2, 0, epoch, number)))
        if random.random() >= self.mosaic:
            return scene
        others = random.integers(0, len(self.data.paths), 3).tolist()
        return mosaic_of([scene, *map(self._scene, others)], self._fill)

    def _join(self, images: list[Any], numbers: NDArray[np.int64]) -> tuple[Tensor, list[Target]]:  # noqa: ARG002
        scenes = [scene for part in images for scene in part]
        whole = np.stack([image for image, _ in scenes])
        return torch.from_numpy(whole).permute(0, 3, 1, 2), [target for _, target in scenes]


def as_target(scene: Placed, number: int) -> Target:
    """The annotations of a scene as tensors."""
    target: Target = {"number": torch.tensor(number)}
    if scene.class_map is not None:
        target["class_map"] = torch.from_numpy(scene.class_map)
        return target
    target["boxes"], target["labels"] = torch.from_numpy(scene.boxes), torch.from_numpy(scene.labels)
    if scene.masks is not None:
        target["masks"] = torch.from_numpy(scene.masks)
    if scene.keypoints is not None:
        target["keypoints"] = torch.from_numpy(scene.keypoints)
    return target


def scene_loaders(
    dataset: Dataset, spec: ImageSpec, task: Task, options: TrainOptions, run: Run
) -> dict[str, SceneLoader | None]:
    """The training and validation images as arguments of the upstream's ``fit``.

    Without ``batch_size`` it is 8, or fewer for a small data set, so that an epoch has at least four steps.

    Raises:
        DataError: no training image has an object to learn from.
        OptionError: tiles are to be chosen by the sizes of objects, and there are none.
    """
    train = dataset.subset("train")
    for note in _what_is_left_out(train, task):
        run.note(note)
    tiling = chosen_tiling(options.tile, dataset, spec, run)
    tiles = None if tiling is None else tiles_to_learn(train, task, tiling, options.seed, run)
    count = len(train) if tiles is None else len(tiles.items)
    batch_size = options.batch_size or usual_batch(min(_BATCH_SIZE, max(2, count // 4)))
    common: dict[str, Any] = {"batch_size": batch_size, "seed": options.seed, "num_workers": options.num_workers}
    zoom = {} if options.scale_jitter is None else {"zoom": options.scale_jitter - 1}
    fit = SceneLoader(
        train,
        spec,
        task,
        changes=SceneAugmentation(**zoom),
        mosaic=options.mosaic or 0.0,
        tiles=tiles,
        shuffle=True,
        drop_single=True,
        **common,
    )
    if "val" not in dataset.subsets:
        return {"train_dataloaders": fit, "val_dataloaders": None}
    held = dataset.subset("val")
    seen = None if tiling is None else tiles_to_ask(held, task, tiling)
    return {"train_dataloaders": fit, "val_dataloaders": SceneLoader(held, spec, task, tiles=seen, **common)}


def _what_is_left_out(dataset: Dataset, task: Task) -> list[str]:
    """Notes about objects that cannot be learned from, and images without any.

    Raises:
        DataError: there is no object at all.
    """
    if not task.has_objects:
        return []
    rows = ObjectRows.of(dataset)
    inside = rows.inside(dataset.sizes)
    usable = inside & ~rows.crowds
    objects, crowds, empty = int(usable.sum()), int(rows.crowds.sum()), int((~inside & ~rows.crowds).sum())
    without = len(dataset) - len(np.unique(rows.images[usable]))
    if not objects:
        raise DataError(
            f"None of the {len(dataset)} training images has an object to learn from"
            + (f"; {empty} have boxes without area inside the image" if empty else "")
            + ". Check the annotations with: drivetrain data DATA"
        )
    notes = []
    if empty:
        notes.append(
            f"{empty} objects of the training images have a box without area inside the image and are left out."
        )
    if crowds:
        notes.append(f"{crowds} objects of the training images are crowds and are not used.")
    if without:
        notes.append(f"{without} of {len(dataset)} training images have no object and serve as background.")
    return notes
