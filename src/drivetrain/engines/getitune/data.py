"""Our data set as getitune's own data module, in memory: no folder is written and no image copied."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision import tv_tensors

from drivetrain.engines.getitune.recipes import SUBSETS, GetituneRecipe
from drivetrain.engines.getitune.side_effects import contained, imported
from drivetrain.errors import DataError
from drivetrain.images.read import read_image
from drivetrain.types import Sample, Task
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset

with contained():
    from datumaro.experimental.fields import ImageInfo, Subset
    from getitune.data.dataset.classification import MulticlassClsDataset, MultilabelClsDataset
    from getitune.data.entity.sample import ClassificationMultiLabelSample, ClassificationSample
    from getitune.types.label import LabelInfo

_KINDS = {"train": Subset.TRAINING, "val": Subset.VALIDATION, "test": Subset.TESTING}


class GetituneImages(ABC):
    """The images of one subset in the form of getitune's own data sets, whose augmentation and batches stay theirs.

    Args:
        subset: the images.
        transforms: getitune's pipeline.
    """

    def __init__(self, subset: Dataset, transforms: Any) -> None:
        names = list(subset.label_names)
        self.dm_subset, self.transforms = subset, transforms
        self.max_refetch = 1000
        self.label_info = LabelInfo(
            label_names=names, label_groups=[names], label_ids=[str(number) for number in range(len(names))]
        )
        self.num_classes = len(names)

    def _read_dm_item(self, index: int) -> Any:
        sample = self.dm_subset[index]
        pixels = torch.from_numpy(np.array(read_image(sample.path).transpose(2, 0, 1)))
        height, width = sample.size
        return self.made(
            sample,
            image=tv_tensors.Image(pixels),
            dm_image_info=ImageInfo(width=width, height=height),
            subset=_KINDS.get(sample.subset, Subset.TRAINING),
        )

    @abstractmethod
    def made(self, sample: Sample, **common: Any) -> Any:
        """Getitune's item for one image."""

    def get_idx_list_per_classes(self, use_string_label: bool = False) -> dict[int | str, list[int]]:
        """The images that have each label."""
        found: dict[int | str, list[int]] = {}
        for index, sample in enumerate(self.dm_subset):
            for number in dict.fromkeys(int(value) for value in sample.labels):
                key = self.dm_subset.label_names[number] if use_string_label else number
                found.setdefault(key, []).append(index)
        return found


class OneLabel(GetituneImages, MulticlassClsDataset):  # type: ignore[misc]  # the upstream class is untyped here
    """Images with one label each."""

    def made(self, sample: Sample, **common: Any) -> Any:
        """Getitune's item for one image."""
        return ClassificationSample(label=torch.tensor(int(sample.labels[0])), **common)


class ManyLabels(GetituneImages, MultilabelClsDataset):  # type: ignore[misc]  # the upstream class is untyped here
    """Images with any number of labels."""

    def made(self, sample: Sample, **common: Any) -> Any:
        """Getitune's item for one image."""
        return ClassificationMultiLabelSample(label=torch.from_numpy(np.array(sample.labels, np.int64)), **common)


_CLASSES: dict[Task, Any] = {
    Task.CLASSIFICATION: OneLabel,
    Task.MULTILABEL_CLASSIFICATION: ManyLabels,
}


def subset_config(recipe: GetituneRecipe, name: str, input_size: Sequence[int], options: TrainOptions) -> Any:
    """Getitune's settings of a subset: those of the recipe, with the options.

    No worker processes unless they were asked for: each imports getitune again, which takes ten seconds.
    """
    fields = recipe.subset(name)
    sampler = dict(fields.get("sampler") or {})
    if sampler:
        fields["sampler"] = {**sampler, "init_args": sampler.get("init_args") or {}}
    fields["input_size"] = tuple(input_size)
    fields["num_workers"] = options.num_workers or 0
    if options.batch_size is not None:
        fields["batch_size"] = options.batch_size
    return imported("getitune.config.data").SubsetConfig(**fields)


def data_module(
    dataset: Dataset, recipe: GetituneRecipe, task: Task, input_size: Sequence[int], options: TrainOptions
) -> Any:
    """Getitune's own data module over an existing data set.

    Args:
        dataset: a data set with subsets ``train`` and ``val``.
        recipe: its augmentation, samplers and batch sizes.
        task: the task.
        input_size: ``(height, width)`` of the model input.
        options: the options of ``train``.

    Raises:
        DataError: there are no images to train on or to validate on.
    """
    for name in ("train", "val"):
        if name not in dataset.subsets or not len(dataset.subset(name)):
            raise DataError(f"There are no images in the subset {name!r}, which getitune's training needs.")
    factory = imported("getitune.data.factory").TransformLibFactory
    configs: dict[str, Any] = {name: subset_config(recipe, name, input_size, options) for name in SUBSETS}
    made: Mapping[str, Any] = {
        name: _CLASSES[task](dataset.subset(name), factory.generate(configs[name]))
        for name in SUBSETS
        if name in dataset.subsets
    }
    with contained():
        return imported("getitune.data.module").DataModule.from_vision_datasets(
            train_dataset=made["train"],
            val_dataset=made["val"],
            test_dataset=made.get("test"),
            **{f"{name}_subset": config for name, config in configs.items()},
        )
