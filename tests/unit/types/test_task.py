"""The facts about tasks that other modules rely on."""

from __future__ import annotations

import pytest

from drivetrain.errors import OptionError
from drivetrain.types import Task


def test_every_task_is_judged_by_a_metric() -> None:
    assert all(task.main_metric for task in Task)


def test_tasks_with_objects_and_tasks_with_labels_are_different_ones() -> None:
    objects = {task for task in Task if task.has_objects}
    labels = {task for task in Task if task.is_classification}
    assert objects == {
        Task.DETECTION,
        Task.ORIENTED_DETECTION,
        Task.INSTANCE_SEGMENTATION,
        Task.KEYPOINT_DETECTION,
    }
    assert labels == {Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION}
    assert not objects & labels


def test_an_unknown_task_is_refused_with_a_suggestion() -> None:
    assert Task.parse("depth") is Task.DEPTH
    with pytest.raises(OptionError, match=r"'detect' is not a task\. Did you mean 'detection'"):
        Task.parse("detect")
