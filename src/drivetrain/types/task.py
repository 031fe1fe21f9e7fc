"""The tasks that models perform, and the facts about each task."""

from __future__ import annotations

from enum import StrEnum

from drivetrain.errors import OptionError, near


class Task(StrEnum):
    """The tasks, under their established names."""

    CLASSIFICATION = "classification"
    MULTILABEL_CLASSIFICATION = "multilabel_classification"
    DETECTION = "detection"
    ORIENTED_DETECTION = "oriented_detection"
    INSTANCE_SEGMENTATION = "instance_segmentation"
    SEMANTIC_SEGMENTATION = "semantic_segmentation"
    KEYPOINT_DETECTION = "keypoint_detection"
    ANOMALY = "anomaly"
    DEPTH = "depth"

    @property
    def has_objects(self) -> bool:
        """Whether an answer is a list of objects, each with its own score."""
        return self in _WITH_OBJECTS

    @property
    def is_classification(self) -> bool:
        """Whether an answer consists of labels for the whole image."""
        return self in _CLASSIFICATION

    @property
    def main_metric(self) -> str:
        """The validation metric that judges the task unless another is requested, without its ``val/``."""
        return _MAIN_METRIC[self]

    @classmethod
    def parse(cls, value: str | Task) -> Task:
        """The task of the given name.

        Raises:
            OptionError: there is no such task; the message lists them.
        """
        try:
            return cls(value)
        except ValueError:
            names = [task.value for task in cls]
            raise OptionError(
                f"task={value!r} is not a task.{near(str(value), names)} Allowed: {', '.join(names)}."
            ) from None


#: The verdicts of anomaly detection: the names of labels 0 and 1.
ANOMALY_LABELS = ("normal", "anomalous")

_CLASSIFICATION = frozenset({Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION})

_WITH_OBJECTS = frozenset(
    {Task.DETECTION, Task.ORIENTED_DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION}
)

_MAIN_METRIC = {
    Task.CLASSIFICATION: "accuracy",
    Task.MULTILABEL_CLASSIFICATION: "map",
    Task.DETECTION: "map",
    Task.ORIENTED_DETECTION: "map",
    Task.INSTANCE_SEGMENTATION: "mask_map",
    Task.SEMANTIC_SEGMENTATION: "miou",
    Task.KEYPOINT_DETECTION: "keypoint_map",
    Task.ANOMALY: "image_auroc",
    Task.DEPTH: "delta1_aligned",
}


def require_task(asked: Task | None, own: Task, model: str) -> None:
    """Refuse a task that is not that of the model.

    Args:
        asked: the task that was asked for, if any.
        own: that of the model.
        model: the name of the model.

    Raises:
        OptionError: they differ.
    """
    if asked is not None and asked is not own:
        raise OptionError(
            f"task={asked.value!r}, but {model} is a model for the task {own.value!r}. "
            f"List models for it with: drivetrain find --task {asked.value}"
        )
