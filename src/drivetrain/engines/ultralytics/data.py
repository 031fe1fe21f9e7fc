"""Our data set as Ultralytics' own in-memory labels, with its caching and augmentation untouched."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivetrain.data import Dataset
from drivetrain.errors import DataError
from drivetrain.masks import class_map, has_outline, object_mask, rings_of
from drivetrain.types import Sample, Task

Labels = dict[str, Any]
_OTHER_SIDE = {"left": "right", "right": "left"}
_SIDES = re.compile("left|right", re.IGNORECASE)


def records(dataset: Dataset, task: Task) -> list[Any]:
    """What Ultralytics' data sets take: samples of a classifier, or the labels of each image.

    Raises:
        DataError: there are no images.
    """
    if not len(dataset):
        raise DataError("There are no images in this subset.")
    if task is Task.CLASSIFICATION:
        pairs = zip(dataset.paths, dataset.image_labels.tolist(), strict=True)
        return [[path, label, Path(path).with_suffix(".npy"), None] for path, label in pairs]
    if task is Task.SEMANTIC_SEGMENTATION:
        return [{**_labels(sample, Task.DETECTION, empty=True), "sample": sample} for sample in dataset]
    return [_labels(sample, task) for sample in dataset]


def facts(dataset: Dataset, task: Task) -> dict[str, Any]:
    """What Ultralytics calls the data: names and shapes."""
    names = dict(enumerate(dataset.label_names))
    found: dict[str, Any] = {"names": names, "nc": len(names), "channels": 3}
    if task is Task.KEYPOINT_DETECTION:
        found["kpt_shape"] = [len(dataset.keypoint_names), 3]
        found["kpt_names"] = {number: list(dataset.keypoint_names) for number in names}
        order = flip_order(dataset.keypoint_names)
        if order:
            found["flip_idx"] = order
    if task is Task.SEMANTIC_SEGMENTATION:
        found["masks_dir"] = "masks"  # says that masks are given; where they are is known to the data set
    return found


def flip_order(names: Sequence[str]) -> list[int]:
    """Which point each one becomes in a mirror, if the names tell left from right; empty if they do not.

    Without an order Ultralytics does not mirror images, as a left eye would be learnt as a right one.
    """
    mirrored = [_SIDES.sub(lambda side: _OTHER_SIDE[side[0].lower()], name.lower()) for name in names]
    lower = [name.lower() for name in names]
    if mirrored == lower or not set(mirrored) <= set(lower):
        return []
    return [lower.index(name) for name in mirrored]


def _labels(sample: Sample, task: Task, *, empty: bool = False) -> Labels:
    height, width = sample.size
    boxes = np.zeros((0, 4), np.float32) if empty or sample.boxes is None else sample.boxes
    classes = np.zeros(0, np.int64) if empty or sample.box_labels is None else sample.box_labels
    kept = np.arange(len(boxes)) if sample.iscrowd is None or empty else np.flatnonzero(~sample.iscrowd)
    boxes = boxes[kept]
    scale = np.array([width, height, width, height], np.float32)
    centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1) / scale
    labels: Labels = {
        "im_file": sample.path,
        "shape": sample.size,
        "cls": classes[kept].astype(np.float32).reshape(-1, 1),
        "bboxes": centred.astype(np.float32),
        "segments": [],
        "normalized": True,
        "bbox_format": "xywh",
    }
    if task in (Task.INSTANCE_SEGMENTATION, Task.ORIENTED_DETECTION):
        labels["segments"] = [(_outline(sample, int(i)) / scale[:2]).astype(np.float32) for i in kept]
    if task is Task.KEYPOINT_DETECTION and sample.keypoints is not None:
        labels["keypoints"] = (sample.keypoints[kept] / np.array([width, height, 1], np.float32)).astype(np.float32)
    return labels


def _outline(sample: Sample, index: int) -> NDArray[np.float32]:
    """One ring of ``(K, 2)`` xy in pixels; several parts are joined by Ultralytics' own function."""
    rings = [np.asarray(ring, np.float32) for ring in rings_of(sample, index)]
    if not rings and has_outline(sample, index):
        mask = object_mask(sample, index).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        rings = [contour.reshape(-1, 2).astype(np.float32) + 0.5 for contour in found if len(contour) >= 3]
    if not rings:
        assert sample.boxes is not None
        x1, y1, x2, y2 = sample.boxes[index]
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
    if len(rings) == 1:
        return rings[0]
    join = importlib.import_module("ultralytics.data.converter").merge_multi_segment
    return np.concatenate(join([ring.reshape(-1).tolist() for ring in rings])).astype(np.float32)


def make_dataset(trainer: Any, given: list[Any], mode: str, batch: int | None) -> Any:
    """Ultralytics' data set over the records, made as the trainer would make its own."""
    args = trainer.args
    if args.task == "classify":
        return _classification(given, args, list(trainer.data["names"].values()), augment=mode == "train")
    module = importlib.import_module("ultralytics.data.dataset")
    base: Any = {"semantic": module.SemanticDataset, "depth": module.DepthDataset}.get(args.task, module.YOLODataset)
    detr = importlib.import_module("ultralytics.models.rtdetr.train").RTDETRTrainer
    is_detr = isinstance(trainer, detr)
    if is_detr:
        base = importlib.import_module("ultralytics.models.rtdetr.val").RTDETRDataset
    stride = max(int(trainer.model.stride.max()), 32)
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
        data=trainer.data,
        fraction=1.0,
    )


def _in_memory(base: Any) -> Any:
    """The subclass of one of Ultralytics' data sets that has its labels already."""

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
    """Ultralytics' data set of a classifier over samples that are known, without a folder to scan."""
    module = importlib.import_module("ultralytics.data.dataset")
    transforms = importlib.import_module("ultralytics.data.augment")

    base: Any = module.ClassificationDataset

    class InMemory(base):  # type: ignore[misc]  # the upstream class is untyped here
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

    return InMemory()
