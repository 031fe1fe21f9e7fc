"""Batches of images from a data set, decoded ahead in threads and kept in memory if they fit."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivetrain.data.balance import image_weights
from drivetrain.data.table import list_lengths
from drivetrain.engines.lightning.augment import Augmentation
from drivetrain.errors import DataError
from drivetrain.images.read import read_image
from drivetrain.machine.resources import available_memory, core_count
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.torch_training.rank_group import rank_and_size
from drivetrain.torch_training.several_devices import batch_part, usual_batch
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.runs.run import Run

_MEMORY_SHARE = 0.25
_AHEAD = 3
_BATCH_SIZE = 32


class PixelCache:
    """The resized images of a data set, ``uint8``, in the memory of this process.

    Args:
        count: the number of images.
        spec: defines their size.
        share: the fraction of free memory that may be used; if it is not enough, every epoch decodes again.
    """

    def __init__(self, count: int, spec: ImageSpec, share: float = _MEMORY_SHARE) -> None:
        needed = count * spec.height * spec.width * 3
        self.fits = needed <= available_memory() * share
        self._pixels = np.empty(
            (count if self.fits else 0, *spec.size, 3), np.uint8
        )  # pages are allocated when written
        self._filled = np.zeros(count, np.bool_)

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """The image, if it is stored."""
        return self._pixels[number] if self._filled[number] else None

    def put(self, number: int, image: NDArray[np.uint8]) -> None:
        """Store the image, if there is room."""
        if self.fits:
            self._pixels[number] = image
            self._filled[number] = True


class EpochSampler:
    """The order of the images in an epoch; the same for the same seed and epoch, in any process.

    Args:
        count: number of images.
        shuffle: whether the order changes with each epoch.
        seed: seed of the order.
        weights: ``(count,)`` relative probability of each image, drawn with replacement; ``None`` takes each once.
    """

    def __init__(self, count: int, *, shuffle: bool, seed: int, weights: NDArray[np.float64] | None = None) -> None:
        self.count, self.shuffle, self.seed, self.weights = count, shuffle, seed, weights
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this at the start of each."""
        self.epoch = epoch

    def order(self) -> NDArray[np.int64]:
        """The numbers of the images of this process, in order."""
        order = np.arange(self.count)
        random = np.random.default_rng((self.seed, self.epoch))
        if self.weights is not None:
            order = random.choice(self.count, self.count, p=self.weights)
        elif self.shuffle:
            order = random.permutation(self.count)
        rank, size = rank_and_size()
        if size > 1:
            order = np.resize(order, -(-self.count // size) * size)[rank::size]
        return order


class BatchSampler:
    """The numbers of the images of each batch of an epoch.

    Args:
        sampler: their order; Lightning sets its epoch.
        batch_size: images per batch, over all processes.
        drop_single: drop a last batch of one image, which batch normalisation cannot use.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, *, drop_single: bool) -> None:
        self.sampler, self.batch_size, self.drop_single = sampler, batch_size, drop_single

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return iter(self._batches())

    def __len__(self) -> int:
        return len(self._batches())

    def _batches(self) -> list[NDArray[np.int64]]:
        order, part = self.sampler.order(), batch_part(self.batch_size)
        batches = [order[start : start + part] for start in range(0, len(order), part)]
        if self.drop_single and len(batches) > 1 and len(batches[-1]) == 1:
            batches.pop()
        return batches


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images and their targets: ``(N,) int64``, or ``(N, labels) float32`` of zeros and ones."""

    paths: Sequence[str]
    targets: NDArray[np.int64] | NDArray[np.float32]

    @classmethod
    def of(cls, dataset: Dataset, task: Task) -> Labelled:
        """The images of a data set.

        Raises:
            DataError: an image has no label, or more than one where one is needed.
        """
        if task is Task.MULTILABEL_CLASSIFICATION:
            return cls(dataset.paths, dataset.label_matrix.astype(np.float32))
        counts = np.maximum(list_lengths(dataset.table, "labels"), 0)
        if (counts != 1).any():
            wrong = int(np.argmax(counts != 1))
            raise DataError(
                f"the image {dataset.paths[wrong]!r} has {counts[wrong]} labels, classification needs exactly one. For "
                "several labels per image use task='multilabel_classification'."
            )
        return cls(dataset.paths, dataset.image_labels)


class ImageLoader:
    """Iterates over batches ``(images (B, 3, H, W) uint8, targets)``; images are channels-last in memory.

    While the model works on a batch, threads decode, resize and augment the next ones. Lightning accepts it like
    a ``DataLoader``.

    Args:
        data: files and targets.
        spec: the size to which images are resized.
        batch_size: images per batch.
        shuffle: whether their order changes with each epoch.
        augmentation: how training images are augmented; ``None`` for no augmentation.
        seed: seed of the order and of the augmentation.
        num_workers: threads; 0 uses the thread of the caller; by default one per core, at most 8.
        drop_single: drop a last batch of one image, which batch normalisation cannot use.
        weights: ``(N,)`` relative probability of each image; ``None`` takes each once per epoch.
    """

    def __init__(
        self,
        data: Labelled,
        spec: ImageSpec,
        *,
        batch_size: int,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        num_workers: int | None = None,
        drop_single: bool = False,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.data, self.spec = data, spec
        self.augmentation, self.seed = augmentation, seed
        self.num_workers = min(8, core_count()) if num_workers is None else num_workers
        sampler = EpochSampler(len(data.paths), shuffle=shuffle, seed=seed, weights=weights)
        self.batch_sampler = BatchSampler(sampler, batch_size, drop_single=drop_single)
        self.cache = PixelCache(len(data.paths), spec)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        epoch = self.batch_sampler.sampler.epoch
        if self.num_workers == 0:
            for numbers in self.batch_sampler:
                yield self._join([self._images(numbers, epoch)], numbers)
            return
        with ThreadPoolExecutor(self.num_workers, "drivetrain-images") as pool:
            waiting = iter(self.batch_sampler)
            try:
                ahead = [self._start(pool, numbers, epoch) for numbers in islice(waiting, _AHEAD)]
                while ahead:
                    numbers, parts = ahead.pop(0)
                    images = [part.result() for part in parts]
                    ahead += [self._start(pool, following, epoch) for following in islice(waiting, 1)]
                    yield self._join(images, numbers)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _start(
        self, pool: ThreadPoolExecutor, numbers: NDArray[np.int64], epoch: int
    ) -> tuple[NDArray[np.int64], list[Future[Any]]]:
        parts = np.array_split(numbers, min(self.num_workers, len(numbers)))
        return numbers, [pool.submit(self._images, part, epoch) for part in parts]

    def _images(self, numbers: NDArray[np.int64], epoch: int) -> Any:
        images = np.empty((len(numbers), *self.spec.size, 3), np.uint8)
        for place, number in enumerate(numbers.tolist()):
            image = self.cache.get(number)
            if image is None:
                image = resize_uint8(read_image(self.data.paths[number]), self.spec)
                self.cache.put(number, image)
            if self.augmentation is not None:
                image = self.augmentation.apply(image, (self.seed, epoch, number))
            images[place] = image
        return images

    def _join(self, images: list[Any], numbers: NDArray[np.int64]) -> tuple[Tensor, Any]:
        whole = images[0] if len(images) == 1 else np.concatenate(images)
        return torch.from_numpy(whole).permute(0, 3, 1, 2), torch.from_numpy(self.data.targets[numbers])


def loaders_for(
    dataset: Dataset, spec: ImageSpec, task: Task, options: TrainOptions, run: Run
) -> dict[str, ImageLoader | None]:
    """The training and validation images as arguments of the upstream's ``fit``.

    Without ``batch_size`` it is 32, or fewer for a small data set, so that an epoch has at least four steps.
    """
    train = Labelled.of(dataset.subset("train"), task)
    batch_size = options.batch_size or usual_batch(min(_BATCH_SIZE, max(2, len(train.paths) // 4)))
    fit = ImageLoader(
        train,
        spec,
        batch_size=batch_size,
        shuffle=True,
        augmentation=Augmentation(),
        seed=options.seed,
        num_workers=options.num_workers,
        drop_single=True,
        weights=image_weights(dataset) if options.sampler == "balanced" else None,
    )
    if not fit.cache.fits:
        run.note("The images do not fit in a quarter of the free memory, so they are decoded again in every epoch.")
    if "val" not in dataset.subsets:
        return {"train_dataloaders": fit, "val_dataloaders": None}
    held = Labelled.of(dataset.subset("val"), task)
    check = ImageLoader(held, spec, batch_size=batch_size, seed=options.seed, num_workers=options.num_workers)
    return {"train_dataloaders": fit, "val_dataloaders": check}
