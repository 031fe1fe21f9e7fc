"""Training a classification network, with one label or any number of labels per image."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from drivetrain.engines.lightning.models.networks import Network, logits_of
from drivetrain.engines.lightning.models.normalisation import quicken
from drivetrain.engines.lightning.models.saving import SavedModule
from drivetrain.engines.lightning.models.trained_parts import optimizer_of
from drivetrain.errors import DataError
from drivetrain.torch_training.loader_task import require_task
from drivetrain.torch_training.rank_group import in_order
from drivetrain.torch_training.several_devices import image_count
from drivetrain.types import ImageSpec, Prediction, Predictions, Sample, Task

_IMAGE_AXES = 4
_TARGETS = {
    Task.CLASSIFICATION: "(B,) int64",
    Task.MULTILABEL_CLASSIFICATION: "(B, labels) float32 of zeros and ones",
}
_WARM_UP = 0.05
_WEIGHT_DECAY = 0.05
_RATE_PRETRAINED = 3e-4
_RATE_FROM_SCRATCH = 1e-3


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over the training: a linear rise to the peak, then a half cosine down to zero.

    Attributes:
        steps: the number of steps of the whole training.
    """

    steps: int

    def factor(self, step: int) -> float:
        """The fraction of the peak at a step."""
        rise = max(1, round(_WARM_UP * self.steps))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, self.steps - rise))))


class ClassificationModule(SavedModule):
    """Any network that gives ``(B, labels)`` logits, as a LightningModule.

    A batch is ``(images, targets)``: images ``(B, 3, H, W)``, ``uint8`` as in the file or ``float32`` and
    already normalised; targets ``(B,) int64``, or ``(B, labels) float32`` of zeros and ones for several labels.

    Args:
        network: the network and its facts.
        task: one label per image, or any number.
        label_names: the name of each output.
        image_spec: how an image becomes an input.
        learning_rate: the peak; by default 3e-4 for a pretrained network, 1e-3 for a new one.
    """

    kind = "classification"
    network: Network

    def __init__(
        self,
        network: Network,
        *,
        task: Task,
        label_names: tuple[str, ...],
        image_spec: ImageSpec,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            network, task=task, label_names=label_names, image_spec=image_spec, learning_rate=learning_rate
        )
        #: ``(labels,)`` the weight of each in the training loss; ``None`` for equal weights.
        self.class_weights: Tensor | None = None
        self._answers: list[tuple[Tensor, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """``(B, labels)`` logits of normalised images."""
        logits: Tensor = logits_of(self.net(images))
        return logits

    @property
    def head(self) -> Sequence[str]:
        """The name prefixes of the parts that depend on the labels."""
        return self.network.head

    @property
    def logged_names(self) -> tuple[str, ...]:
        """The metrics that a training logs."""
        several = self.task is Task.MULTILABEL_CLASSIFICATION
        more = ("map",) if several else ("accuracy_top5",) if len(self.label_names) > 5 else ()
        return ("train/loss", "val/loss", "val/accuracy", "val/f1", *(f"val/{name}" for name in more))

    def normalised(self, images: Tensor) -> Tensor:
        """Images as the network expects them; ``uint8`` ones are normalised, others unchanged."""
        if images.dtype is not torch.uint8:
            return images
        return (images.float() - self._shift) * self._scale

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(B, labels) float32`` in 0..1."""
        logits = logits.float()
        return logits.sigmoid() if self.task is Task.MULTILABEL_CLASSIFICATION else logits.softmax(dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002  (the upstream's signature)
        """The loss of a batch."""
        images, targets = self._pair(batch)
        loss = self._loss(self(self.normalised(images)), targets, self.class_weights)
        self.log(
            "train/loss",
            loss,
            on_step=False,
            on_epoch=True,
            batch_size=len(images),
            sync_dist=self.trainer.world_size > 1,
        )
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  (the upstream's signature)
        """Log the loss and store the answers."""
        images, targets = self._pair(batch)
        logits = self(self.normalised(images))
        several = self.trainer.world_size > 1
        loss = self._loss(logits, targets)
        self.log("val/loss", loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=several)
        self._answers.append((self.probabilities(logits).cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics, computed by drivetrain's own code."""
        several = self.trainer.world_size > 1
        for name, value in self._metrics().items():
            self.log(f"val/{name}", value, sync_dist=several)

    def configure_optimizers(self) -> Any:
        """AdamW without decay on biases and norms; the schedule advances with every step."""
        default = _RATE_PRETRAINED if self.network.pretrained else _RATE_FROM_SCRATCH
        optimizer = optimizer_of(
            self.net,
            rate=self.learning_rate if self.learning_rate is not None else default,
            backbone_rate=self.backbone_rate,
            head=self.head,
            weight_decay=_WEIGHT_DECAY,
            fused=self.device.type in ("cpu", "cuda"),
        )
        steps = self.trainer.estimated_stepping_batches
        if not self.network.pretrained and math.isfinite(steps):
            self.training_notes = quicken(self.net, int(steps))
        schedule = Schedule(int(steps) if math.isfinite(steps) else 1)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The images and targets of a batch.

        Raises:
            DataError: the batch, from a loader that is not ours, is for another task or in another form.
        """
        require_task(batch, (self.task,), self.network.name)
        is_pair = isinstance(batch, tuple | list) and len(batch) == 2
        if not is_pair or not all(isinstance(part, Tensor) for part in batch) or batch[0].ndim != _IMAGE_AXES:
            raise DataError(
                f"A batch of the loader is a {type(batch).__name__}; {self.network.name} takes pairs of images "
                f"(B, 3, H, W), uint8 or normalised, and targets {_TARGETS[self.task]}."
            )
        images, targets = batch
        return images, targets

    def _loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is not None:
            weights = weights.to(logits)
        if self.task is Task.MULTILABEL_CLASSIFICATION:
            if targets.shape != logits.shape:
                raise DataError(
                    f"The targets of the loader are {tuple(targets.shape)}, but the model has {logits.shape[1]} labels."
                )
            wanted = targets.to(logits.dtype)
            return nn.functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights)
        try:
            return nn.functional.cross_entropy(logits, targets, weight=weights)
        except IndexError as error:
            raise DataError(
                f"The loader has the label number {int(targets.max())}, but the model has 0 to "
                f"{logits.shape[1] - 1}. Set dataset.classes to the names of all of its labels."
            ) from error

    def _all_answers(self) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Probabilities and truths of all validation images, in their order, also of those that other ranks saw."""
        rows = torch.cat([row for row, _ in self._answers]).numpy()
        truths = torch.cat([truth for _, truth in self._answers]).numpy()
        if self.trainer.world_size == 1:
            return rows, truths
        pairs = in_order(list(zip(rows, truths, strict=True)), image_count(self.trainer.val_dataloaders))
        return np.stack([row for row, _ in pairs]), np.stack([truth for _, truth in pairs])

    def _metrics(self) -> dict[str, float]:
        from drivetrain.metrics import evaluate

        rows, truths = self._all_answers()
        self._answers.clear()
        several = self.task is Task.MULTILABEL_CLASSIFICATION
        samples = [
            Sample(f"#{number}", (1, 1), labels=np.flatnonzero(truth) if several else np.array([truth], np.int64))
            for number, truth in enumerate(truths)
        ]
        answers = [make_prediction(f"#{number}", (1, 1), row, self.task) for number, row in enumerate(rows)]
        predictions = Predictions(answers, task=self.task, label_names=self.label_names)
        return dict(evaluate(samples, predictions, task=self.task, label_names=self.label_names))


def make_prediction(path: str, size: tuple[int, int], row: Any, task: Task) -> Prediction:
    """The answer about one image from its probabilities, ``(labels,) float32``."""
    probabilities = np.ascontiguousarray(row, np.float32)
    if task is Task.MULTILABEL_CLASSIFICATION:
        labels = np.flatnonzero(probabilities >= 0.5).astype(np.int64)
    else:
        labels = np.array([probabilities.argmax()], np.int64)
    return Prediction(path, size, labels=labels, scores=probabilities[labels], probabilities=probabilities)
