"""Recognising the task of a user's loader from the content of a batch."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from drivetrain.errors import DataError
from drivetrain.types.task import Task

_CORNERS = 5  # centre, size and angle
_MAP = 3  # (B, H, W)
_IMAGES = ("img", "image", "images", "pixel_values")
_LABELS = ("cls", "label", "labels", "target", "targets")


def task_of_batch(batch: Any) -> Task | None:
    """The task of a batch; ``None`` if it cannot be determined.

    Recognises the formats of torchvision (images, targets), Ultralytics, Transformers and Anomalib.
    """
    if hasattr(batch, "gt_label") and hasattr(batch, "image"):
        return Task.ANOMALY
    if isinstance(batch, Mapping):
        return _of_fields(batch)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes) and len(batch) == 2:
        return _of_targets(batch[1])
    return None


def require_task(batch: Any, allowed: Sequence[Task], of: str) -> None:
    """Refuse a batch that is recognisably for another task.

    Args:
        batch: a batch of the loader.
        allowed: the task of the model, then other tasks whose batches it can use.
        of: the name of the model, for the message.

    Raises:
        DataError: the message names the loader's task and the model's.
    """
    found = task_of_batch(batch)
    if found is None or found in allowed:
        return
    raise DataError(
        f"The loader is for the task {found.value!r}, but {of} is a model for {allowed[0].value!r}. Give a loader for "
        f"that task, or a model for the loader's task: drivetrain find --task {found.value}"
    )


def _of_fields(fields: Mapping[Any, Any]) -> Task | None:
    """The task of a batch with named fields."""
    boxes = next((fields[name] for name in ("bboxes", "boxes") if name in fields), None)
    if "keypoints" in fields:
        return Task.KEYPOINT_DETECTION
    if boxes is not None:
        if getattr(boxes, "shape", (0,))[-1] == _CORNERS:
            return Task.ORIENTED_DETECTION
        return Task.INSTANCE_SEGMENTATION if "masks" in fields else Task.DETECTION
    if "semantic_mask" in fields:
        return Task.SEMANTIC_SEGMENTATION
    if "depth" in fields:
        return Task.DEPTH
    labels = next((fields[name] for name in _LABELS if name in fields), None)
    return _of_targets(labels) if any(name in fields for name in _IMAGES) else None


def _of_targets(targets: Any) -> Task | None:
    """The task of a batch with images and targets."""
    if isinstance(targets, Sequence) and targets and all(isinstance(item, Mapping) for item in targets):
        return _of_fields(targets[0])
    if not isinstance(targets, torch.Tensor):
        return None
    if targets.ndim == 1:
        return None if targets.is_floating_point() else Task.CLASSIFICATION
    if targets.ndim == 2:
        return Task.MULTILABEL_CLASSIFICATION if targets.is_floating_point() else None
    return Task.SEMANTIC_SEGMENTATION if targets.ndim == _MAP and not targets.is_floating_point() else None
