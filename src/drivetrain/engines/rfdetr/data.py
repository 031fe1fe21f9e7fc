"""Our data set as RF-DETR's own data module, with its augmentation and batching unchanged and no image copied."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import contextlib
import importlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from PIL import Image

from drivetrain.errors import DataError
from drivetrain.images.masks import object_masks
from drivetrain.images.read import read_image
from drivetrain.types import Sample

if TYPE_CHECKING:
    from drivetrain.data import Dataset


class Images(torchvision.datasets.CocoDetection):  # type: ignore[misc]  # the upstream class is untyped here
    """Images and targets in the form of RF-DETR's own COCO data set.

    It has the same class name, because RF-DETR computes keypoint metrics only from the ``coco`` of such a data set.

    Args:
        dataset: one subset.
        transforms: RF-DETR's own transforms, which end in tensors.
        masks: whether targets have masks.
        keypoints: whether targets have keypoints.
        seed: the seed of the training augmentation, which depends only on it, the epoch and the image, so that a
            resumed run sees the same images as an uninterrupted one; ``None`` for no random augmentation.
    """

    def __init__(self, dataset: Dataset, transforms: Any, *, masks: bool, keypoints: int, seed: int | None) -> None:
        self.dataset, self.transforms = dataset, transforms
        self.coco = coco_index(dataset) if keypoints and seed is None else None
        self.masks, self.seed = masks, seed
        self.set_epoch(0)
        schema = [keypoints] if keypoints else None
        coco: Any = importlib.import_module("rfdetr.datasets.coco")
        self.convert = coco.ConvertCoco(include_keypoints=bool(keypoints), num_keypoints_per_class=schema)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, within which an image may be requested more than once."""
        self.epoch = epoch
        self._times: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        sample = self.dataset[index]
        image = Image.fromarray(read_image(sample.path))
        found, target = self.convert(image, {"image_id": index, "annotations": coco_rows(sample)})
        if self.masks:
            target["masks"] = _masks(sample)
        if self.seed is not None:
            seed_transforms(self.transforms.transforms, (self.seed, self.epoch, index, self._times[index]))
            self._times[index] += 1
        tensor, final = self.transforms(found, target)
        return tensor, final


class EpochOrder(torch.utils.data.Sampler):  # type: ignore[misc]  # the upstream class is untyped here
    """RF-DETR's own order of the images, using random numbers that depend only on the seed and the epoch.

    Args:
        inner: RF-DETR's sampler.
        images: informed of the epoch.
        seed: the seed of the order.
    """

    def __init__(self, inner: Any, images: Images, seed: int) -> None:
        self.inner, self.images, self.seed = inner, images, seed

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this at the start of each."""
        self.images.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[int]:
        (number,) = np.random.SeedSequence((self.seed, self.images.epoch)).generate_state(1)
        self.inner.generator = torch.Generator().manual_seed(int(number))
        return iter(self.inner)


def seed_transforms(transforms: Sequence[Any], seed: tuple[int, ...]) -> None:
    """Seed Albumentations, which otherwise uses its own seed."""
    numbers = np.random.SeedSequence(seed).generate_state(len(transforms))
    for item, number in zip(transforms, numbers, strict=True):
        inner: Any = getattr(item, "transform", None)
        if hasattr(inner, "set_random_seed"):
            inner.set_random_seed(int(number))


def coco_rows(sample: Sample) -> list[dict[str, Any]]:
    """The objects of an image as COCO annotations, with our label numbers as categories."""
    boxes = sample.boxes if sample.boxes is not None else ()
    rows = []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        row: dict[str, Any] = {
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "category_id": int(sample.box_labels[number]) if sample.box_labels is not None else 0,
            "area": float(sample.area[number]) if sample.area is not None else float((x2 - x1) * (y2 - y1)),
            "iscrowd": int(sample.iscrowd[number]) if sample.iscrowd is not None else 0,
        }
        if sample.keypoints is not None:
            row["keypoints"] = sample.keypoints[number].reshape(-1).tolist()
        rows.append(row)
    return rows


def coco_index(dataset: Dataset) -> Any:
    """The annotations of a subset with keypoints as an in-memory pycocotools index."""
    found: Any = importlib.import_module("pycocotools.coco").COCO()
    rows = [
        {**row, "image_id": number, "num_keypoints": sum(value > 0 for value in row["keypoints"][2::3])}
        for number, sample in enumerate(dataset)
        for row in coco_rows(sample)
        if "keypoints" in row
    ]
    names = {"keypoints": list(dataset.keypoint_names)}
    found.dataset = {
        "images": [{"id": number} for number in range(len(dataset))],
        "categories": [{"id": number, "name": name, **names} for number, name in enumerate(dataset.label_names)],
        "annotations": [{**row, "id": number} for number, row in enumerate(rows, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        found.createIndex()
    return found


def kept(sample: Sample) -> list[int]:
    """The objects that RF-DETR learns from: no crowds, and only boxes that are not empty inside the image."""
    height, width = sample.size
    numbers = []
    for number, (x1, y1, x2, y2) in enumerate(sample.boxes if sample.boxes is not None else ()):
        crowd = sample.iscrowd is not None and bool(sample.iscrowd[number])
        if not crowd and min(x2, width) > max(x1, 0) and min(y2, height) > max(y1, 0):
            numbers.append(number)
    return numbers


def _masks(sample: Sample) -> torch.Tensor:
    numbers = kept(sample)
    if not numbers:
        return torch.zeros((0, *sample.size), dtype=torch.bool)
    return torch.from_numpy(object_masks(sample)[numbers])


def data_module(dataset: Dataset, model_config: Any, train_config: Any, seed: int) -> Any:
    """RF-DETR's own Lightning data module over an existing data set.

    Args:
        dataset: a data set with a subset ``train``, and ``val`` if there is something to validate on.
        model_config: RF-DETR's configuration of the model.
        train_config: RF-DETR's configuration of the training.
        seed: the seed of the order of the images and of their augmentation.

    Raises:
        DataError: there are no images to train on.
    """
    if "train" not in dataset.subsets or not len(dataset.subset("train")):
        raise DataError("There are no images in the subset 'train'.")
    base: Any = importlib.import_module("rfdetr.training").RFDETRDataModule

    class InMemory(base):  # type: ignore[misc]  # the upstream class is untyped here
        """Uses the known images and labels; the loaders are RF-DETR's own."""

        _is_set_up = False

        def setup(self, stage: str) -> None:
            if stage != "fit" or self._is_set_up:
                return
            self._is_set_up = True
            resolve = importlib.import_module("rfdetr.datasets.kornia_transforms").resolve_augmentation_backend
            on_gpu = resolve(self.train_config.augmentation_backend) != "cpu"
            self._dataset_train = _images(dataset, "train", model_config, train_config, seed, on_gpu=on_gpu)
            if "val" in dataset.subsets:
                self._dataset_val = _images(dataset, "val", model_config, train_config, None, on_gpu=False)
            self._setup_kornia_pipeline()

        def train_dataloader(self) -> Any:
            own = super().train_dataloader()
            names = ("batch_size", "drop_last", "collate_fn", "num_workers", "pin_memory", "prefetch_factor")
            same = {name: getattr(own, name) for name in names}
            sampler = EpochOrder(own.sampler, self._dataset_train, seed)
            return torch.utils.data.DataLoader(own.dataset, sampler=sampler, **same)

        def val_dataloader(self) -> Any:
            return super().val_dataloader() if self._dataset_val is not None else []

        @property
        def class_names(self) -> list[str]:
            return list(dataset.label_names)

    return InMemory(model_config, train_config)


def _images(
    dataset: Dataset, subset: str, model_config: Any, train_config: Any, seed: int | None, *, on_gpu: bool
) -> Images:
    coco = importlib.import_module("rfdetr.datasets.coco")
    transforms = coco.make_coco_transforms_square_div_64(
        subset,
        model_config.resolution,
        multi_scale=train_config.multi_scale,
        expanded_scales=train_config.expanded_scales,
        skip_random_resize=not train_config.do_random_resize_via_padding,
        patch_size=model_config.patch_size,
        num_windows=model_config.num_windows,
        aug_config=train_config.aug_config,
        gpu_postprocess=on_gpu,
    )
    return Images(
        dataset.subset(subset),
        transforms,
        masks=model_config.segmentation_head,
        keypoints=max(model_config.num_keypoints_per_class, default=0) if model_config.use_grouppose_keypoints else 0,
        seed=seed,
    )
