"""Choosing the images of a data set for training and for the threshold, with notes for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivetrain.data import Dataset
from drivetrain.engines.anomalib.data import ANOMALOUS, NORMAL, UNKNOWN, SampleDataModule, SampleDataset
from drivetrain.errors import DataError
from drivetrain.images.masks import has_pixel_truth
from drivetrain.types import ImageSpec

ThresholdSource = Literal["auto", "val", "synthetic", "test"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A datamodule with notes about it.

    Attributes:
        module: the datamodule for Anomalib's engine.
        can_choose: whether validation has normal and anomalous images, so that a metric can select the best state.
        notes: notes for the user.
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
    """Prepare the train and val subsets as a datamodule.

    Args:
        dataset: a data set with the subsets ``train`` and ``val``.
        batch_size: images per training step.
        eval_batch_size: images per validation step.
        num_workers: number of data loading processes.
        source: where the threshold comes from; ``"auto"`` is ``"val"`` if that has anomalous images, else
            ``"synthetic"``.
        seed: the seed of synthetic defects.
        spec: how the images are resized.
        keep_anomalous: whether the model also learns from anomalous images.
        needs_training: whether training images are needed at all (zero-shot models need none).

    Raises:
        DataError: there are no normal images to train on, or no images to validate on.
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
    """The images of a subset as a datamodule for Anomalib's own test, without images of unknown kind."""
    kinds = dataset.anomalous.astype(np.int64)
    rows = np.flatnonzero(kinds != UNKNOWN)
    masks = _any_mask(dataset, rows[kinds[rows] == ANOMALOUS])
    part = SampleDataset(dataset, kinds[rows], rows, with_masks=masks, spec=spec)
    return SampleDataModule(None, part, part, train_batch_size=1, eval_batch_size=batch_size, num_workers=0)


def _train_part(dataset: Dataset, notes: list[str], spec: ImageSpec | None, *, keep_anomalous: bool) -> SampleDataset:
    if "train" not in dataset.subsets:
        raise DataError(f"There is no training image. Subsets of the data: {', '.join(dataset.subsets) or 'none'}.")
    train = dataset.subset("train")
    kinds = train.anomalous.astype(np.int64)
    counts = {kind: int((kinds == kind).sum()) for kind in (NORMAL, ANOMALOUS, UNKNOWN)}
    if not counts[NORMAL]:
        raise DataError(
            f"There is no normal image to train on: of the {len(train)} training images {counts[ANOMALOUS]} are "
            f"anomalous and {counts[UNKNOWN]} are of unknown kind. The labels are: {', '.join(train.label_names)}. "
            "Say which are normal: normal='...'."
        )
    keep = kinds != UNKNOWN if keep_anomalous else kinds == NORMAL
    if counts[ANOMALOUS] and not keep_anomalous:
        notes.append(f"{counts[ANOMALOUS]} anomalous training images were left out: the model learns from normal ones.")
    if counts[UNKNOWN]:
        notes.append(f"{counts[UNKNOWN]} training images of unknown kind were left out.")
    rows = np.flatnonzero(keep)
    masks = keep_anomalous and _any_mask(train, rows[kinds[rows] == ANOMALOUS])
    return SampleDataset(train, kinds[rows], rows, with_masks=masks, spec=spec)


def _val_part(
    dataset: Dataset, notes: list[str], spec: ImageSpec | None, *, source: ThresholdSource, seed: int
) -> tuple[SampleDataset, bool]:
    subset = "test" if source == "test" else "val"
    if subset not in dataset.subsets:
        raise DataError(
            f"The subset {subset!r} has no images, so no threshold can be found. Subsets of the data: "
            f"{', '.join(dataset.subsets) or 'none'}. Add some, or divide all images again with splits=..."
        )
    val = dataset.subset(subset)
    kinds = val.anomalous.astype(np.int64)
    rows = np.flatnonzero(kinds != UNKNOWN)
    automatic = source == "auto" and not (kinds == ANOMALOUS).any()
    if automatic:
        source = "synthetic"
    if source == "synthetic":
        rows = np.flatnonzero(kinds == NORMAL)
    if not len(rows):
        what = "normal image" if source == "synthetic" else "image known to be normal or anomalous"
        raise DataError(f"The subset {subset!r} has no {what}, so no threshold can be found. Add some.")
    if source == "synthetic":
        why = "Validation has no anomalous image: the" if automatic else "The"
        more = " For a better one add anomalous images to val." if automatic else ""
        notes.append(
            f"{why} threshold comes from {len(rows)} normal validation images and copies of them with synthetic "
            f"defects (threshold_source='synthetic').{more}"
        )
        return _painted(val, rows, spec, seed), True
    kinds = kinds[rows]
    anomalous = rows[kinds == ANOMALOUS]
    both = 0 < len(anomalous) < len(rows)
    masks = _any_mask(val, anomalous)
    notes += _about_threshold(source, normal=len(rows) - len(anomalous), anomalous=len(anomalous))
    if masks and not all(has_pixel_truth(val[int(row)]) for row in anomalous):
        notes.append(
            "Some anomalous validation images have no mask; the pixel threshold comes from those that have one."
        )
    return SampleDataset(val, kinds, rows, with_masks=masks or not len(anomalous), spec=spec), both


def _about_threshold(source: ThresholdSource, *, normal: int, anomalous: int) -> list[str]:
    """Notes about a threshold found with these numbers of images of each kind."""
    if source == "test":
        return ["The threshold comes from the test images, so test results are better than on new images."]
    if not anomalous:
        return [
            f"Validation has no anomalous image: the threshold is the highest score of its {normal} normal images "
            "(threshold_source='val')."
        ]
    if not normal:
        return ["Validation has no normal image: the threshold is the lowest score of its anomalous images."]
    return []


def _painted(val: Dataset, rows: NDArray[np.int64], spec: ImageSpec | None, seed: int) -> SampleDataset:
    """The images as they are, followed by each of them with a synthetic defect."""
    painted = np.repeat([False, True], len(rows))
    doubled = np.concatenate([rows, rows])
    kinds = painted.astype(np.int64)
    return SampleDataset(val, kinds, doubled, synthetic=painted, with_masks=True, spec=spec, seed=seed)


def _any_mask(dataset: Dataset, rows: Sequence[int] | NDArray[np.int64]) -> bool:
    return any(has_pixel_truth(dataset[int(row)]) for row in rows)
