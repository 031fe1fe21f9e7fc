"""A drivetrain data set as an Anomalib datamodule: nothing is copied, masks are drawn when they are asked for."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
from drivetrain.errors import DataError
from drivetrain.images import read_image
from drivetrain.masks import has_pixel_truth, rasterise
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import ImageSpec

ThresholdSource = Literal["auto", "val", "synthetic", "test"]

_NORMAL, _ANOMALOUS, _UNKNOWN = 0, 1, -1


def to_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """``(H, W, 3) uint8`` as ``(3, H, W) float32`` in 0..1."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1).contiguous().div_(255.0)


class SampleDataset(AnomalibDataset):  # type: ignore[misc]  # the base is not typed
    """Images of a drivetrain data set, with their masks drawn from whatever annotation they have.

    Args:
        source: the images.
        kinds: ``(N,)`` for each item: 0 normal, 1 anomalous.
        rows: ``(N,)`` for each item: its position in ``source``.
        synthetic: ``(N,)`` whether a defect is to be painted on the item.
        with_masks: whether masks are wanted at all.
        spec: how the images are resized; ``None`` leaves that to the model's transform.
        seed: of the painted defects.
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
                "label": np.where(kinds == _ANOMALOUS, "abnormal", "normal"),
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
        """Of the data set, for the folders that Anomalib makes."""
        return "data"

    def has_mask(self, index: int) -> bool:
        """Whether the item can be given with its mask."""
        row = self.samples.iloc[index]
        if self.samples.attrs["task"] != TaskType.SEGMENTATION.value:
            return False
        return bool(row.synthetic) or row.label_index == _NORMAL or has_pixel_truth(self._source[int(row.row)])

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
            drawn = np.zeros(sample.size, np.bool_) if row.label_index == _NORMAL else rasterise(sample)
            mask = Mask(torch.from_numpy(drawn.astype(np.uint8)))
        if self.augmentations is not None:
            image, mask = (self.augmentations(image), None) if mask is None else self.augmentations(image, mask)
        label = torch.tensor(int(row.label_index))
        return ImageItem(image=image, gt_mask=mask, gt_label=label, image_path=sample.path, mask_path="")

    def _paint(self, image: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The image with a made-up defect, the same one every time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed * 100_003 + index)
            generator = PerlinAnomalyGenerator(probability=1.0, blend_factor=(0.6, 1.0))
            painted, mask = generator(image)
        return Image(painted.squeeze(0)), Mask((mask.squeeze() > 0).to(torch.uint8))


class _Grouped(torch.utils.data.Sampler[list[int]]):  # type: ignore[misc]  # torch is not typed here
    """Batches in which either every item has a mask or none has; Anomalib looks at the first only."""

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
    """An order that depends on the seed and the number of the epoch alone; Lightning tells it the number."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed, self._epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng((self._seed, self._epoch)).permutation(self._count).tolist()

    def __len__(self) -> int:
        return self._count


class SampleDataModule(AnomalibDataModule):  # type: ignore[misc]  # the base is not typed
    """The subsets as they are: nothing is split, dropped or moved by Anomalib.

    Args:
        train: the images to train on.
        val: the images that the threshold and the best state come from.
        test: the images to test on.
        train_batch_size: images in a training step.
        eval_batch_size: images in a validation or test step.
        num_workers: processes that load data.
        seed: of the order of the training images.
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
        """Of the data, for the folders that Anomalib makes."""
        return "data"

    def _setup(self, _stage: str | None = None) -> None:
        for name, part in self._parts.items():
            if part is not None:
                setattr(self, f"{name}_data", part)

    def _create_test_split(self) -> None:
        """The split is given."""

    def _create_val_split(self) -> None:
        """The split is given."""

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, in an order of its own for each epoch."""
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A datamodule and what is to be said about it.

    Attributes:
        module: for Anomalib's engine.
        can_choose: whether validation has normal and anomalous images, so that a metric can choose the best state.
        notes: what the user should know.
    """

    module: SampleDataModule
    can_choose: bool
    notes: tuple[str, ...]


def prepare_training(
    dataset: Dataset,
    *,
    batch_size: int,
    eval_batch_size: int,
    num_workers: int,
    source: ThresholdSource,
    seed: int,
    spec: ImageSpec | None,
    keep_anomalous: bool,
    needs_training: bool = True,
) -> Prepared:
    """The train and val subsets as a datamodule.

    Args:
        dataset: with the subsets ``train`` and ``val``.
        batch_size: images in a training step.
        eval_batch_size: images in a validation step.
        num_workers: processes that load data.
        source: where the threshold comes from; ``"auto"`` is ``"val"`` if that has anomalous images, else
            ``"synthetic"``.
        seed: of made-up defects.
        spec: how the images are resized.
        keep_anomalous: whether the model learns from anomalous images too.
        needs_training: whether training images are needed at all (zero-shot models need none).

    Raises:
        DataError: there is no normal image to train on, or no image to validate on.
    """
    notes: list[str] = []
    train = _train_part(dataset, notes, spec, keep_anomalous=keep_anomalous) if needs_training else None
    val, can_choose = _val_part(dataset, notes, spec, source=source, seed=seed)
    module = SampleDataModule(
        train,
        val,
        val,
        train_batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        num_workers=num_workers,
        seed=seed,
    )
    return Prepared(module, can_choose, tuple(notes))


def prepare_test(dataset: Dataset, *, batch_size: int, spec: ImageSpec | None) -> SampleDataModule:
    """The images of a subset as a datamodule for Anomalib's own test; images of unknown kind are left out."""
    kinds = dataset.anomalous.astype(np.int64)
    rows = np.flatnonzero(kinds != _UNKNOWN)
    masks = _any_mask(dataset, rows[kinds[rows] == _ANOMALOUS])
    part = SampleDataset(dataset, kinds[rows], rows, with_masks=masks, spec=spec)
    return SampleDataModule(None, part, part, train_batch_size=1, eval_batch_size=batch_size, num_workers=0)


def _train_part(dataset: Dataset, notes: list[str], spec: ImageSpec | None, *, keep_anomalous: bool) -> SampleDataset:
    if "train" not in dataset.subsets:
        raise DataError(f"There is no training image. Subsets of the data: {', '.join(dataset.subsets) or 'none'}.")
    train = dataset.subset("train")
    kinds = train.anomalous.astype(np.int64)
    counts = {kind: int((kinds == kind).sum()) for kind in (_NORMAL, _ANOMALOUS, _UNKNOWN)}
    if not counts[_NORMAL]:
        raise DataError(
            f"There is no normal image to train on: of the {len(train)} training images {counts[_ANOMALOUS]} are "
            f"anomalous and {counts[_UNKNOWN]} are of unknown kind. The labels are: {', '.join(train.label_names)}. "
            "Say which are normal: load_dataset(folder, normal='...')."
        )
    keep = kinds != _UNKNOWN if keep_anomalous else kinds == _NORMAL
    if counts[_ANOMALOUS] and not keep_anomalous:
        notes.append(
            f"{counts[_ANOMALOUS]} anomalous training images were left out: the model learns from normal ones."
        )
    if counts[_UNKNOWN]:
        notes.append(f"{counts[_UNKNOWN]} training images of unknown kind were left out.")
    rows = np.flatnonzero(keep)
    masks = keep_anomalous and _any_mask(train, rows[kinds[rows] == _ANOMALOUS])
    return SampleDataset(train, kinds[rows], rows, with_masks=masks, spec=spec)


def _val_part(
    dataset: Dataset, notes: list[str], spec: ImageSpec | None, *, source: ThresholdSource, seed: int
) -> tuple[SampleDataset, bool]:
    subset = "test" if source == "test" else "val"
    if subset not in dataset.subsets:
        raise DataError(
            f"The subset {subset!r} has no images, so no threshold can be found. Subsets of the data: "
            f"{', '.join(dataset.subsets) or 'none'}. Add some, or split anew: load_dataset(folder).split()."
        )
    val = dataset.subset(subset)
    kinds = val.anomalous.astype(np.int64)
    rows = np.flatnonzero(kinds != _UNKNOWN)
    automatic = source == "auto" and not (kinds == _ANOMALOUS).any()
    if automatic:
        source = "synthetic"
    if source == "synthetic":
        rows = np.flatnonzero(kinds == _NORMAL)
    if not len(rows):
        what = "normal image" if source == "synthetic" else "image that is known to be normal or anomalous"
        raise DataError(f"The subset {subset!r} has no {what}, so no threshold can be found. Add some.")
    if source == "synthetic":
        why = "Validation has no anomalous image: the" if automatic else "The"
        more = " For a better one add anomalous images to val." if automatic else ""
        notes.append(
            f"{why} threshold comes from its {len(rows)} normal images and the same with made-up defects "
            f"(threshold_source='synthetic').{more}"
        )
        return _painted(val, rows, spec, seed), True
    kinds = kinds[rows]
    both = bool((kinds == _NORMAL).any() and (kinds == _ANOMALOUS).any())
    if source == "test":
        notes.append("The threshold comes from the test images, so test results are better than on new images.")
    elif not (kinds == _ANOMALOUS).any():
        notes.append(
            f"Validation has no anomalous image: the threshold is the highest score of its {len(rows)} normal images "
            "(threshold_source='val')."
        )
    elif not both:
        notes.append("Validation has no normal image: the threshold is the lowest score of its anomalous images.")
    anomalous = rows[kinds == _ANOMALOUS]
    masks = _any_mask(val, anomalous)
    if masks and not all(has_pixel_truth(val[int(row)]) for row in anomalous):
        notes.append(
            "Some anomalous validation images have no mask; the pixel threshold comes from those that have one."
        )
    return SampleDataset(val, kinds, rows, with_masks=masks or not len(anomalous), spec=spec), both


def _painted(val: Dataset, rows: NDArray[np.int64], spec: ImageSpec | None, seed: int) -> SampleDataset:
    """The images as they are, and once more each with a made-up defect."""
    painted = np.repeat([False, True], len(rows))
    doubled = np.concatenate([rows, rows])
    kinds = painted.astype(np.int64)
    return SampleDataset(val, kinds, doubled, synthetic=painted, with_masks=True, spec=spec, seed=seed)


def _any_mask(dataset: Dataset, rows: Sequence[int] | NDArray[np.int64]) -> bool:
    return any(has_pixel_truth(dataset[int(row)]) for row in rows)
