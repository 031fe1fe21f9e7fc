"""Recognising the task of a batch."""

# ruff: noqa: TID253  (tests of this framework)
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from drivetrain.errors import DataError
from drivetrain.torch_training.loader_task import require_task, task_of_batch
from drivetrain.types import Task

IMAGES = torch.zeros(2, 3, 8, 8)
BOXES = torch.zeros(3, 4)
MASKS = torch.zeros(3, 8, 8)
LABELS = torch.zeros(2, dtype=torch.int64)

BATCHES: list[tuple[Any, Task | None]] = [
    # torchvision
    ((IMAGES, LABELS), Task.CLASSIFICATION),
    ([IMAGES, torch.zeros(2, 5)], Task.MULTILABEL_CLASSIFICATION),
    ((IMAGES, torch.zeros(2, 8, 8, dtype=torch.int64)), Task.SEMANTIC_SEGMENTATION),
    ((list(IMAGES), [{"boxes": BOXES, "labels": LABELS}] * 2), Task.DETECTION),
    ((list(IMAGES), [{"boxes": BOXES, "labels": LABELS, "masks": MASKS}] * 2), Task.INSTANCE_SEGMENTATION),
    ((list(IMAGES), [{"boxes": BOXES, "keypoints": torch.zeros(3, 2, 3)}] * 2), Task.KEYPOINT_DETECTION),
    # Ultralytics
    ({"img": IMAGES, "cls": LABELS}, Task.CLASSIFICATION),
    ({"img": IMAGES, "cls": torch.zeros(3, 1), "bboxes": BOXES}, Task.DETECTION),
    ({"img": IMAGES, "cls": torch.zeros(3, 1), "bboxes": torch.zeros(3, 5)}, Task.ORIENTED_DETECTION),
    ({"img": IMAGES, "cls": torch.zeros(3, 1), "semantic_mask": MASKS}, Task.SEMANTIC_SEGMENTATION),
    ({"img": IMAGES, "cls": torch.zeros(0), "depth": MASKS}, Task.DEPTH),
    # Transformers, Anomalib
    ({"pixel_values": IMAGES, "labels": LABELS}, Task.CLASSIFICATION),
    (SimpleNamespace(image=IMAGES, gt_label=LABELS), Task.ANOMALY),
    # nothing that tells
    ((IMAGES, torch.zeros(2)), None),
    (IMAGES, None),
    ({"x": IMAGES}, None),
    (None, None),
]


@pytest.mark.parametrize(("batch", "task"), BATCHES)
def test_the_task_of_a_batch(batch: Any, task: Task | None) -> None:
    assert task_of_batch(batch) is task


def test_a_loader_of_another_task_is_refused_by_its_task() -> None:
    with pytest.raises(DataError, match=r"for the task 'detection', but resnet18 is a model for 'classification'"):
        require_task({"img": IMAGES, "bboxes": BOXES}, (Task.CLASSIFICATION,), "resnet18")
    require_task({"img": IMAGES, "bboxes": BOXES}, (Task.DETECTION,), "yolo11n")
    require_task({"x": 1}, (Task.DETECTION,), "yolo11n")
