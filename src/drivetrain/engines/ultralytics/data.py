"""Our data set in the form of Ultralytics' in-memory labels, with its caching and augmentation unchanged."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.data import Dataset
from drivetrain.data.object_rows import ObjectRows
from drivetrain.engines.ultralytics.outlines import Outlines
from drivetrain.errors import DataError
from drivetrain.images.masks import class_map
from drivetrain.types import Task

Labels = dict[str, Any]
_OTHER_SIDE = {"left": "right", "right": "left"}
_SIDES = re.compile("left|right", re.IGNORECASE)


def records(dataset: Dataset, task: Task) -> list[Any]:
    """The input of Ultralytics' data sets: samples for a classifier, or the labels of each image.

    Raises:
        DataError: there are no images.
    """
    if not len(dataset):
        raise DataError("There are no images in this subset.")
    if task is Task.CLASSIFICATION:
        pairs = zip(dataset.paths, dataset.image_labels.tolist(), strict=True)
        return [[path, label, Path(path).with_suffix(".npy"), None] for path, label in pairs]
    if task is Task.SEMANTIC_SEGMENTATION:
        none = ObjectRows.none(len(dataset))
        return [{**found, "sample": dataset[n]} for n, found in enumerate(_labels(dataset, none))]
    rows = ObjectRows.of(dataset).without_crowds()
    labels = _labels(dataset, rows)
    ends = rows.ends.tolist()
    for number, found in enumerate(labels):
        kept = rows.positions[ends[number] - len(found["cls"]) : ends[number]]
        if task in (Task.INSTANCE_SEGMENTATION, Task.ORIENTED_DETECTION):
            found["segments"] = Outlines(dataset, number, kept)
        if task is Task.KEYPOINT_DETECTION and (points := dataset[number].keypoints) is not None:
            height, width = found["shape"]
            found["keypoints"] = (points[kept] / np.array([width, height, 1], np.float32)).astype(np.float32)
    return labels


def facts(dataset: Dataset, task: Task) -> dict[str, Any]:
    """The facts in Ultralytics' data description: names and shapes."""
    names = dict(enumerate(dataset.label_names))
    found: dict[str, Any] = {"names": names, "nc": len(names), "channels": 3}
    if task is Task.KEYPOINT_DETECTION:
        found["kpt_shape"] = [len(dataset.keypoint_names), 3]
        found["kpt_names"] = {number: list(dataset.keypoint_names) for number in names}
        order = flip_order(dataset.keypoint_names)
        if order:
            found["flip_idx"] = order
    if task is Task.SEMANTIC_SEGMENTATION:
        found["masks_dir"] = "masks"  # signals that there are masks; the data set knows where
    return found


def flip_order(names: Sequence[str]) -> list[int]:
    """The index that each keypoint gets when mirrored, if the names tell left from right; empty if they do not.

    Without this order Ultralytics does not mirror images, as a left eye would be learnt as a right one.
    """
    mirrored = [_SIDES.sub(lambda side: _OTHER_SIDE[side[0].lower()], name.lower()) for name in names]
    lower = [name.lower() for name in names]
    if mirrored == lower or not set(mirrored) <= set(lower):
        return []
    return [lower.index(name) for name in mirrored]


def _labels(dataset: Dataset, rows: ObjectRows) -> list[Labels]:
    """The labels of each image with the boxes of its objects, scaled all at once."""
    sizes = dataset.sizes
    sides = sizes[rows.images][:, [1, 0, 1, 0]].astype(np.float32)
    scaled = rows.boxes / sides
    centred = np.empty_like(scaled)
    np.add(scaled[:, :2], scaled[:, 2:], out=centred[:, :2])
    centred[:, :2] /= 2
    np.subtract(scaled[:, 2:], scaled[:, :2], out=centred[:, 2:])
    classes = rows.labels.astype(np.float32)[:, None]
    starts = (rows.ends - rows.counts).tolist()
    return [
        {
            "im_file": path,
            "shape": (height, width),
            "cls": classes[start:end].copy(),
            "bboxes": centred[start:end].copy(),
            "segments": [],
            "normalized": True,
            "bbox_format": "xywh",
        }
        for path, (height, width), start, end in zip(
            dataset.paths, sizes.tolist(), starts, rows.ends.tolist(), strict=True
        )
    ]


def make_dataset(owner: Any, given: list[Any], mode: str, batch: int | None, stride: int) -> Any:
    """Ultralytics' data set over the records, created as its trainer or validator would.

    Args:
        owner: the trainer or validator, with its ``args`` and ``data``.
        given: see :func:`records`.
        mode: ``"train"``, which augments, or ``"val"``.
        batch: images per step.
        stride: the stride of the model, in pixels.
    """
    args = owner.args
    if args.task == "classify":
        return _classification(given, args, list(owner.data["names"].values()), augment=mode == "train")
    base, is_detr = _base_of(owner)
    validating = mode != "train"
    return _in_memory(base)(
        img_path=given,
        imgsz=args.imgsz,
        batch_size=batch,
        augment=not validating,
        hyp=args,
        rect=not is_detr and bool(args.rect or validating) and not (args.task == "depth" and validating),
        cache=args.cache or None,
        single_cls=args.single_cls or False,
        stride=stride,
        pad=0.5 if validating and args.task not in ("semantic", "depth") else 0.0,
        prefix=f"{mode}: ",
        task=args.task,
        classes=args.classes,
        data=owner.data,
        fraction=1.0,
    )


def _base_of(owner: Any) -> tuple[Any, bool]:
    """Ultralytics' data set class, and whether it is RT-DETR's, which does not support rectangles."""
    detr = importlib.import_module("ultralytics.models.rtdetr.val")
    trainer = importlib.import_module("ultralytics.models.rtdetr.train").RTDETRTrainer
    if isinstance(owner, trainer | detr.RTDETRValidator):
        return detr.RTDETRDataset, True
    module = importlib.import_module("ultralytics.data.dataset")
    by_task = {"semantic": module.SemanticDataset, "depth": module.DepthDataset}
    return by_task.get(owner.args.task, module.YOLODataset), False


def _in_memory(base: Any) -> Any:
    """A subclass of one of Ultralytics' data sets that already has its labels."""

    class InMemory(base):  # type: ignore[misc]  # the upstream class is untyped here
        """Labels come from memory; everything else is Ultralytics' own."""

        def get_img_files(self, img_path: list[Labels]) -> list[str]:
            self._given = [dict(labels) for labels in img_path]
            return [labels["im_file"] for labels in self._given]

        def get_labels(self) -> list[Labels]:
            if hasattr(base, "_depth_path_for"):
                self.depth_files_by_image = {path: self._depth_path_for(path) for path in self.im_files}
            return self._given

        def load_mask(self, index: int, image_shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
            del image_shape
            return class_map(self.labels[index]["sample"]).astype(np.uint8)

    return InMemory


def _classification(given: list[Any], args: Any, classes: list[str], *, augment: bool) -> Any:
    """Ultralytics' classification data set over known samples, without a folder to scan."""
    module = importlib.import_module("ultralytics.data.dataset")
    transforms = importlib.import_module("ultralytics.data.augment")

    base: Any = module.ClassificationDataset

    class InMemoryClassification(base):  # type: ignore[misc]  # the upstream class is untyped here
        """Samples come from memory; everything else is Ultralytics' own."""

        def __init__(self) -> None:
            self.samples = [list(sample) for sample in given]
            self.root, self.prefix = "", ""
            self.base = SimpleNamespace(classes=classes)  # earlier releases count them
            self.cache_ram = args.cache is True or str(args.cache).lower() == "ram"
            self.cache_disk = str(args.cache).lower() == "disk"
            if self.cache_ram:
                self.cache_images()
            self.torch_transforms = (
                transforms.classify_augmentations(
                    size=args.imgsz,
                    scale=(1.0 - args.scale, 1.0),
                    hflip=args.fliplr,
                    vflip=args.flipud,
                    erasing=args.erasing,
                    auto_augment=args.auto_augment,
                    hsv_h=args.hsv_h,
                    hsv_s=args.hsv_s,
                    hsv_v=args.hsv_v,
                )
                if augment
                else transforms.classify_transforms(size=args.imgsz)
            )

    return InMemoryClassification()
