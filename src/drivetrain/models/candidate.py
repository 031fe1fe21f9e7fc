"""A model that auto-configuration may choose, with what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivetrain.types.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to train for a task; the engine that offers it lists it in its SPEC.

    The figures are those of ``benchmarks/auto_candidates.py`` on the CPU with one thread.

    Attributes:
        model: full name, such as ``"timm:resnet18"``.
        task: what it is trained for.
        image_size: side of the square input in pixels that suits the model where nothing speaks against it.
        cpu_image_size: the same where time matters, on a CPU; ``image_size`` if ``None``.
        measured_size: side of the input in pixels when it was measured.
        train_ms: training time of one image in one epoch, at ``measured_size``.
        measured_images: number of training images when it was measured.
        images_power: how the training time grows with their number: 1, or 2 where every image is compared with all.
        predict_ms: time of one prediction, at ``measured_size``.
        quality: of its main metric on the generated data, 0..1.
        epochs: how many epochs are enough; 1 for models that look at each image once.
        least_epochs: with fewer it learns nothing of use.
        memory_mb: training memory of one image of a batch, at ``measured_size``.
        size_step: the image size is a multiple of this.
        weights: where trained weights of the backbone may lie (:func:`drivetrain.recommend.local_weights.find_weights`
            looks there); with none of them on the machine the candidate drops out. Empty for one that needs none.
        weights_argument: the model argument that takes the file of weights.
        model_args: other arguments of the model's constructor.
        patience: stop after this many validations without a better one; ``None`` where there is nothing to stop.
        metrics: the validation metric for balanced classes and the one for unbalanced ones; empty for the engine's own.
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
        """Whether the model looks at each training image once and is done."""
        return self.epochs == 1
