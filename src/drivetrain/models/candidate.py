"""A model that auto-configuration may choose, with its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivetrain.types.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to train for a task, listed in the SPEC of the engine that offers it.

    The figures come from ``benchmarks/auto_candidates.py``, on the CPU with one thread.

    Attributes:
        model: full name, such as ``"timm:resnet18"``.
        task: the task it is trained for.
        image_size: side of the square input in pixels that suits the model by default.
        cpu_image_size: the same for a CPU, where time matters; ``image_size`` if ``None``.
        measured_size: side of the input in pixels during the measurement.
        train_ms: training time per image and epoch, at ``measured_size``.
        measured_images: number of training images during the measurement.
        images_power: how training time grows with the number of images: 1, or 2 if every image is compared with all.
        predict_ms: time per prediction, at ``measured_size``.
        quality: the value of its main metric on the generated data, 0..1.
        epochs: a sufficient number of epochs; 1 for models that see each image once.
        least_epochs: the minimum number of epochs to learn anything useful.
        memory_mb: training memory per image of a batch, at ``measured_size``.
        size_step: the image size is a multiple of this.
        weights: where pretrained backbone weights may be (:func:`drivetrain.recommend.local_weights.find_weights`
            searches there); without any of them on the machine the candidate is dropped. Empty if none are needed.
        weights_argument: the model argument that takes the weights file.
        model_args: other arguments of the model's constructor.
        patience: stop after this many validations without improvement; ``None`` for no early stopping.
        metrics: the validation metrics for balanced and for unbalanced classes; empty for the engine's own.
        balances: whether the engine honours ``class_weights="balanced"`` for the task.
    """

    model: str
    task: Task
    image_size: int
    measured_size: int
    train_ms: float
    predict_ms: float
    quality: float
    epochs: int
    cpu_image_size: int | None = None
    least_epochs: int = 1
    measured_images: int = 100
    images_power: float = 1.0
    memory_mb: float = 10.0
    size_step: int = 32
    weights: tuple[str, ...] = ()
    weights_argument: str = "pretrained"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    patience: int | None = None
    metrics: tuple[str, ...] = ()
    balances: bool = False

    @property
    def is_one_pass(self) -> bool:
        """Whether the model sees each training image only once."""
        return self.epochs == 1
