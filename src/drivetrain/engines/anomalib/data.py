"""A drivetrain data set as an Anomalib datamodule, without copies; masks are drawn on demand."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from anomalib import TaskType
from anomalib.data import AnomalibDataModule, AnomalibDataset, ImageItem
from anomalib.data.utils.generators import PerlinAnomalyGenerator
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchvision.tv_tensors import Image, Mask

from drivetrain.data import Dataset
from drivetrain.images.masks import has_pixel_truth, rasterise
from drivetrain.images.read import read_image
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import ImageSpec

NORMAL, ANOMALOUS, UNKNOWN = 0, 1, -1


def to_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """``(H, W, 3) uint8`` as ``(3, H, W) float32`` in 0..1."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1).contiguous().div_(255.0)


class SampleDataset(AnomalibDataset):  # type: ignore[misc]  # the base is not typed
    """Images of a drivetrain data set, with masks drawn from any kind of annotation.

    Args:
        source: the images.
        kinds: ``(N,)`` per item: 0 normal, 1 anomalous.
        rows: ``(N,)`` per item: its position in ``source``.
        synthetic: ``(N,)`` whether a synthetic defect is painted on the item.
        with_masks: whether masks are needed at all.
        spec: how the images are resized; ``None`` leaves this to the model's transform.
        seed: the seed of the synthetic defects.
    """

    def __init__(
        self,
        source: Dataset,
        kinds: NDArray[np.int64],
        rows: NDArray[np.int64],
        *,
        synthetic: NDArray[np.bool_] | None = None,
        with_masks: bool = False,
        spec: ImageSpec | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._source = source
        self._spec = spec
        self._seed = seed
        paths = np.asarray(source.paths, object)[rows]
        table = pd.DataFrame(
            {
                "image_path": paths,
                "label_index": kinds,
                "label": np.where(kinds == ANOMALOUS, "abnormal", "normal"),
                "mask_path": "",
                "split": "train",
                "row": rows,
                "synthetic": synthetic if synthetic is not None else np.zeros(len(rows), np.bool_),
            }
        )
        self.samples = table
        self.samples.attrs["task"] = (TaskType.SEGMENTATION if with_masks else TaskType.CLASSIFICATION).value

    @property
    def name(self) -> str:
        """The name of the data set, for the folders that Anomalib creates."""
        return "data"

    def has_mask(self, index: int) -> bool:
        """Whether the item has a mask."""
        row = self.samples.iloc[index]
        if self.samples.attrs["task"] != TaskType.SEGMENTATION.value:
            return False
        return bool(row.synthetic) or row.label_index == NORMAL or has_pixel_truth(self._source[int(row.row)])

    def __getitem__(self, index: int) -> ImageItem:
        """The image as ``(3, h, w) float32`` in 0..1, its label, and its mask ``(h, w)`` if it has one."""
        row = self.samples.iloc[index]
        sample = self._source[int(row.row)]
        pixels = read_image(sample.path)
        image: torch.Tensor = Image(to_tensor(pixels if self._spec is None else resize_uint8(pixels, self._spec)))
        mask: torch.Tensor | None = None
        if row.synthetic:
            image, mask = self._paint(image, index)
        elif self.has_mask(index):
            drawn = np.zeros(sample.size, np.bool_) if row.label_index == NORMAL else rasterise(sample)
            mask = Mask(torch.from_numpy(drawn.astype(np.uint8)))
        if self.augmentations is not None:
            image, mask = (self.augmentations(image), None) if mask is None else self.augmentations(image, mask)
        label = torch.tensor(int(row.label_index))
        return ImageItem(image=image, gt_mask=mask, gt_label=label, image_path=sample.path, mask_path="")

    def _paint(self, image: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The image with a synthetic defect, the same one every time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed * 100_003 + index)
            generator = PerlinAnomalyGenerator(probability=1.0, blend_factor=(0.6, 1.0))
            painted, mask = generator(image)
        return Image(painted.squeeze(0)), Mask((mask.squeeze() > 0).to(torch.uint8))


class _Grouped(torch.utils.data.Sampler[list[int]]):  # type: ignore[misc]  # torch is not typed here
    """Batches in which either all items have a mask or none has, since Anomalib only checks the first one."""

    def __init__(self, dataset: SampleDataset, batch_size: int) -> None:
        self._batch_size = batch_size
        flags = [dataset.has_mask(index) for index in range(len(dataset))]
        self._groups = [
            [index for index, flag in enumerate(flags) if flag],
            [index for index, flag in enumerate(flags) if not flag],
        ]

    def __iter__(self) -> Iterator[list[int]]:
        for group in self._groups:
            for start in range(0, len(group), self._batch_size):
                yield group[start : start + self._batch_size]

    def __len__(self) -> int:
        return sum(-(-len(group) // self._batch_size) for group in self._groups)


class _Shuffled(torch.utils.data.Sampler[int]):  # type: ignore[misc]  # torch is not typed here
    """An order that depends only on the seed and the epoch number, which Lightning sets."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed, self._epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng((self._seed, self._epoch)).permutation(self._count).tolist()

    def __len__(self) -> int:
        return self._count


class SampleDataModule(AnomalibDataModule):  # type: ignore[misc]  # the base is not typed
    """The subsets as they are; Anomalib does not split, drop or move anything.

    Args:
        train: the images to train on.
        val: the images that determine the threshold and the best state.
        test: the images to test on.
        train_batch_size: images per training step.
        eval_batch_size: images per validation or test step.
        num_workers: number of data loading processes.
        seed: the seed of the order of the training images.
    """

    def __init__(
        self,
        train: SampleDataset | None,
        val: SampleDataset | None,
        test: SampleDataset | None,
        *,
        train_batch_size: int,
        eval_batch_size: int,
        num_workers: int,
        seed: int = 0,
    ) -> None:
        super().__init__(train_batch_size=train_batch_size, eval_batch_size=eval_batch_size, num_workers=num_workers)
        self._order_seed = seed
        self._parts = {"train": train, "val": val, "test": test}

    @property
    def name(self) -> str:
        """The name of the data, for the folders that Anomalib creates."""
        return "data"

    def _setup(self, _stage: str | None = None) -> None:
        for name, part in self._parts.items():
            if part is not None:
                setattr(self, f"{name}_data", part)

    def _create_test_split(self) -> None:
        """Do nothing, as the split is given."""

    def _create_val_split(self) -> None:
        """Do nothing, as the split is given."""

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, in a different order each epoch."""
        return DataLoader(
            self.train_data,
            sampler=_Shuffled(len(self.train_data), self._order_seed),
            batch_size=self.train_batch_size,
            num_workers=self.num_workers,
            collate_fn=self.train_data.collate_fn,
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation batches, those with masks first."""
        return self._eval_loader(self.val_data)

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches, those with masks first."""
        return self._eval_loader(self.test_data)

    def _eval_loader(self, dataset: SampleDataset) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_sampler=_Grouped(dataset, self.eval_batch_size),
            num_workers=self.num_workers,
            collate_fn=dataset.collate_fn,
        )
