"""The task that a batch of a user's loader is for, judged by its content."""

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
    """The task that a batch is for; ``None`` where it does not tell.

    The forms of torchvision (images, targets), of Ultralytics, Transformers and Anomalib are known.
    """
    if hasattr(batch, "gt_label") and hasattr(batch, "image"):
        return Task.ANOMALY
    if isinstance(batch, Mapping):
        return _of_fields(batch)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes) and len(batch) == 2:
        return _of_targets(batch[1])
    return None


def require_task(batch: Any, allowed: Sequence[Task], of: str) -> None:
    """Refuse a batch that says that it is for another task.

    Args:
        batch: of the loader.
        allowed: the task of the model, and others whose batches serve it.
        of: what the model is called.

    Raises:
        DataError: naming the task of the loader and that of the model.
    """
    found = task_of_batch(batch)
    if found is None or found in allowed:
        return
    raise DataError(
        f"The loader is for the task {found.value!r}, but {of} is a model for {allowed[0].value!r}. Give a loader for "
        f"that task, or a model for the other: drivetrain find --task {found.value}"
    )


def _of_fields(fields: Mapping[Any, Any]) -> Task | None:
    """The task of named fields."""
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
    """The task of the targets of a batch."""
    if isinstance(targets, Sequence) and targets and all(isinstance(item, Mapping) for item in targets):
        return _of_fields(targets[0])
    if not isinstance(targets, torch.Tensor):
        return None
    if targets.ndim == 1:
        return None if targets.is_floating_point() else Task.CLASSIFICATION
    if targets.ndim == 2:
        return Task.MULTILABEL_CLASSIFICATION if targets.is_floating_point() else None
    return Task.SEMANTIC_SEGMENTATION if targets.ndim == _MAP and not targets.is_floating_point() else None
