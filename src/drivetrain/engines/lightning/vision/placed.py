"""The annotations of a sample in pixels of the model input, and how augmentation changes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.join_tiles import View
from drivetrain.images.masks import IGNORED, class_map, object_mask
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import ImageSpec, Sample, Task

_LEAST_SIDE = 1.0
_LEAST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Placed:
    """An image at the size of the model input, with its annotations.

    Attributes:
        image: ``(height, width, 3) uint8``.
        boxes: ``(N, 4) float32`` xyxy.
        labels: ``(N,) int64``.
        masks: ``(N, height, width) uint8``, or ``None`` if the task has none.
        keypoints: ``(N, K, 3) float32`` x, y, visibility, or ``None``.
        class_map: ``(height, width) int64`` with 255 for ignored pixels, or ``None``.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8] | None = None
    keypoints: NDArray[np.float32] | None = None
    class_map: NDArray[np.int64] | None = None

    def keep(self, which: NDArray[np.bool_]) -> Placed:
        """The same with only some of the objects."""
        return replace(
            self,
            boxes=self.boxes[which],
            labels=self.labels[which],
            masks=None if self.masks is None else self.masks[which],
            keypoints=None if self.keypoints is None else self.keypoints[which],
        )


def place(
    image: NDArray[np.uint8], sample: Sample, spec: ImageSpec, task: Task, background: int, view: View | None = None
) -> Placed:
    """Resize an image and its annotations to the model input.

    Args:
        image: ``(H, W, 3) uint8``, as in the file.
        sample: the annotations.
        spec: how an image becomes the input.
        task: determines the annotations that are needed.
        background: the class of pixels outside all objects, for class maps drawn from objects.
        view: the part of the image to train on; the whole image if ``None``.
    """
    part = view or View(0, 0, image.shape[1], image.shape[0])
    rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
    size = (part.bottom - part.top, part.right - part.left)
    numbers = visible_objects(sample, part) if task.has_objects else []
    boxes = np.zeros((0, 4), np.float32) if not numbers or sample.boxes is None else sample.boxes[numbers]
    labels = np.zeros(0, np.int64) if not numbers or sample.box_labels is None else sample.box_labels[numbers]
    shift, limits = np.array([part.left, part.top], np.float32), np.array([size[1], size[0]], np.float32)
    corners = np.clip(boxes.reshape(-1, 2, 2) - shift, 0, limits)
    pixels = resize_uint8(np.ascontiguousarray(image[rows, columns]), spec)
    placed = Placed(pixels, to_input(corners, spec, size).reshape(-1, 4), labels.astype(np.int64))
    if task is Task.INSTANCE_SEGMENTATION:
        masks = [_resized(object_mask(sample, number)[rows, columns].astype(np.uint8), spec, 0) for number in numbers]
        placed = replace(placed, masks=np.stack(masks) if masks else np.zeros((0, *spec.size), np.uint8))
    elif task is Task.KEYPOINT_DETECTION:
        placed = replace(placed, keypoints=_points(sample, numbers, spec, size, shift))
    elif task is Task.SEMANTIC_SEGMENTATION:
        classes = class_map(sample, background=background)[rows, columns]
        placed = replace(placed, class_map=_resized(classes.astype(np.uint8), spec, IGNORED).astype(np.int64))
    return placed


def visible_objects(sample: Sample, view: View) -> list[int]:
    """The :func:`usable_objects` that lie to a sufficient extent in a part of the image."""
    boxes = sample.boxes
    if boxes is None:
        return []
    height, width = sample.size
    limits = np.array([width, height, width, height], np.float32)
    sides = np.array([view.left, view.top, view.right, view.bottom], np.float32)
    found = []
    for number in usable_objects(sample):
        box = np.clip(boxes[number], 0, limits)
        inside = np.concatenate([np.maximum(box[:2], sides[:2]), np.minimum(box[2:], sides[2:])])
        sizes = inside[2:] - inside[:2]
        if sizes.min() > 0 and sizes.prod() >= _LEAST_SHARE * (box[2:] - box[:2]).prod():
            found.append(number)
    return found


def usable_objects(sample: Sample) -> list[int]:
    """The objects to train on: no crowds, and only boxes that are not empty inside the image."""
    height, width = sample.size
    numbers = []
    for number, (x1, y1, x2, y2) in enumerate(sample.boxes if sample.boxes is not None else ()):
        crowd = sample.iscrowd is not None and bool(sample.iscrowd[number])
        if not crowd and min(x2, width) > max(x1, 0) and min(y2, height) > max(y1, 0):
            numbers.append(number)
    return numbers


def to_input(points: NDArray[np.float32], spec: ImageSpec, size: tuple[int, int]) -> NDArray[np.float32]:
    """``(..., 2)`` xy of an image of ``size`` (height, width), in pixels of the model input."""
    top, left, bottom, right = spec.letterbox_box(size)
    scale = np.array([(right - left) / size[1], (bottom - top) / size[0]], np.float32)
    return np.asarray(points * scale + np.array([left, top], np.float32), np.float32)


def _points(
    sample: Sample, numbers: list[int], spec: ImageSpec, size: tuple[int, int], shift: NDArray[np.float32]
) -> NDArray[np.float32]:
    if sample.keypoints is None or not numbers:
        count = 0 if sample.keypoints is None else sample.keypoints.shape[1]
        return np.zeros((0, count, 3), np.float32)
    points = sample.keypoints[numbers].astype(np.float32)
    places = points[..., :2] - shift
    outside = ((places < 0) | (places > np.array([size[1], size[0]], np.float32))).any(axis=-1)
    moved = np.concatenate([to_input(places, spec, size), points[..., 2:]], axis=2)
    moved[outside] = 0
    return moved


def _resized(values: NDArray[np.uint8], spec: ImageSpec, outside: int) -> NDArray[np.uint8]:
    """Pixel numbers at the size of the model input, by nearest neighbour."""
    size = (values.shape[0], values.shape[1])
    top, left, bottom, right = spec.letterbox_box(size)
    rows = np.minimum(((np.arange(bottom - top) + 0.5) * size[0] / (bottom - top)).astype(np.int64), size[0] - 1)
    columns = np.minimum(((np.arange(right - left) + 0.5) * size[1] / (right - left)).astype(np.int64), size[1] - 1)
    canvas = np.full(spec.size, outside, np.uint8)
    canvas[top:bottom, left:right] = values[rows[:, None], columns]
    return canvas


@dataclass(frozen=True, slots=True)
class SceneAugmentation:
    """The strength of the augmentation of images with boxes, masks, keypoints and class maps.

    There are no flips and no rotations: a mirrored "3" or a left-hand part is a different thing.

    Attributes:
        zoom: the largest relative change of scale, in and out.
        shift: the largest shift, as a fraction of each side.
        light: the largest relative change of brightness and of contrast.
        saturation: the largest relative change of saturation.
    """

    zoom: float = 0.3
    shift: float = 0.15
    light: float = 0.15
    saturation: float = 0.15

    def apply(self, placed: Placed, seed: tuple[int, int, int], fill: int) -> Placed:
        """An augmented copy; the same for the same seed.

        Args:
            placed: the image; it is not modified.
            seed: (seed of the run, epoch, number of the image).
            fill: level of pixels that come from outside the image.
        """
        from drivetrain.engines.lightning.augment import Augmentation

        values = np.random.Generator(np.random.Philox(key=seed[0], counter=(1, 0, seed[1], seed[2]))).random(4)
        height, width = placed.image.shape[:2]
        scale = float(np.exp((2 * values[0] - 1) * np.log1p(self.zoom)))
        shift = (2 * values[1:3] - 1) * self.shift * (width, height)
        offset = np.array([width, height]) * (1 - scale) / 2 + shift
        moved = moved_scene(placed, scale, offset, fill)
        image = Augmentation(zoom=0, light=self.light, saturation=self.saturation).apply(moved.image, seed)
        return replace(moved, image=image)


def moved_scene(placed: Placed, scale: float, offset: NDArray[np.float64], fill: int) -> Placed:
    """Each point ``p`` moves to ``p * scale + offset``; objects with too little left are dropped."""
    height, width = placed.image.shape[:2]
    limits = np.array([width, height], np.float32)
    whole = np.asarray(placed.boxes.reshape(-1, 2, 2) * scale + offset, np.float32)
    boxes = np.clip(whole, 0, limits)
    before, after = _areas(whole), _areas(boxes)
    sides = (boxes[:, 1] - boxes[:, 0]).min(axis=1, initial=np.inf)
    stay = (after >= _LEAST_SHARE * before) & (sides >= _LEAST_SIDE)
    moved = replace(
        placed,
        image=_warped(placed.image, scale, offset, fill, smooth=True),
        boxes=boxes.reshape(-1, 4),
        masks=None if placed.masks is None else _warped_masks(placed.masks, scale, offset),
        keypoints=None if placed.keypoints is None else _moved_points(placed.keypoints, scale, offset, limits),
        class_map=None if placed.class_map is None else _warped_map(placed.class_map, scale, offset),
    )
    if moved.masks is not None and len(moved.masks):
        stay &= moved.masks.any(axis=(1, 2))
    return moved.keep(stay)


def _areas(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.prod(np.clip(corners[:, 1] - corners[:, 0], 0, None), axis=1), np.float32)


def _moved_points(
    points: NDArray[np.float32], scale: float, offset: NDArray[np.float64], limits: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The points; those that leave the image become absent."""
    moved = points.copy()
    moved[..., :2] = points[..., :2] * scale + offset
    moved[~((moved[..., :2] >= 0) & (moved[..., :2] <= limits)).all(axis=-1)] = 0
    return moved


def _warped_masks(masks: NDArray[np.uint8], scale: float, offset: NDArray[np.float64]) -> NDArray[np.uint8]:
    warped = [_warped(mask, scale, offset, 0, smooth=False) for mask in masks]
    return np.stack(warped) if warped else masks


def _warped_map(classes: NDArray[np.int64], scale: float, offset: NDArray[np.float64]) -> NDArray[np.int64]:
    return _warped(classes.astype(np.uint8), scale, offset, IGNORED, smooth=False).astype(np.int64)


def _warped(
    values: NDArray[np.uint8], scale: float, offset: NDArray[np.float64], fill: int, *, smooth: bool
) -> NDArray[np.uint8]:
    import cv2

    height, width = values.shape[:2]
    # half a pixel, because cv2 counts from pixel centres
    there = np.array(
        [[scale, 0, offset[0] + 0.5 * scale - 0.5], [0, scale, offset[1] + 0.5 * scale - 0.5]], dtype=np.float64
    )
    flags = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    changed: NDArray[np.uint8] = cv2.warpAffine(
        values, there, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(fill, fill, fill)
    )
    return changed
