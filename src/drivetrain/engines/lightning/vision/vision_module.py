"""Training a model that finds objects or classifies pixels, from any source."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from drivetrain.engines.lightning.models.classification import Schedule
from drivetrain.engines.lightning.models.normalisation import quicken
from drivetrain.engines.lightning.models.saving import SavedModule
from drivetrain.engines.lightning.models.trained_parts import optimizer_of
from drivetrain.engines.lightning.vision.adapter import Target, VisionAdapter
from drivetrain.images.join_tiles import View
from drivetrain.images.tiling import join_views
from drivetrain.runtime.postprocess import Decoder, make_decoder
from drivetrain.torch_training.rank_group import in_order
from drivetrain.types import ImageSpec, Prediction, Predictions, Sample, Task

_WEIGHT_DECAY = 1e-4
_RATE_PRETRAINED = 2e-4

#: Task -> the metrics logged in validation.
LOGGED = {
    Task.DETECTION: ("map", "map_50", "map_75"),
    Task.INSTANCE_SEGMENTATION: ("mask_map", "map"),
    Task.KEYPOINT_DETECTION: ("keypoint_map", "map"),
    Task.SEMANTIC_SEGMENTATION: ("miou", "dice", "pixel_accuracy"),
}


class VisionModule(SavedModule):
    """Any network behind a :class:`VisionAdapter`, as a LightningModule.

    A batch is ``(images, targets)``: images ``(B, 3, H, W) uint8``, and one :class:`Target` for each.

    Args:
        adapter: the network and the specifics of its source.
        label_names: the name of each label.
        image_spec: how an image becomes an input.
        learning_rate: the peak; by default 2e-4 for a network with weights, the adapter's own for a new one.
    """

    kind = "vision"
    network: VisionAdapter

    def __init__(
        self,
        adapter: VisionAdapter,
        *,
        label_names: tuple[str, ...],
        image_spec: ImageSpec,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            adapter, task=adapter.task, label_names=label_names, image_spec=image_spec, learning_rate=learning_rate
        )
        self._answers: list[tuple[int, View | None, Prediction]] = []

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """The outputs by name, for each of the normalised images."""
        return self.network.answers(images)

    @property
    def head(self) -> Sequence[str]:
        """Name prefixes of the parts that depend on the labels; empty, as the backbone of a vision model is named."""
        return ()

    @property
    def logged_names(self) -> tuple[str, ...]:
        """The metrics that a training logs, in addition to the loss components."""
        return ("train/loss", *(f"val/{name}" for name in LOGGED[self.task]))

    def decoder(self, confidence: float) -> Decoder:
        """The decoder from outputs to predictions."""
        decoding = self.network.decoding
        more = {"confidence_threshold": confidence} if self.task.has_objects else {}
        return make_decoder(decoding.decoder, {**decoding.arguments, **more}, self.label_names, self.image_spec)

    def normalised(self, images: Tensor) -> Tensor:
        """``uint8`` images as the network expects them."""
        return (images.float() - self._shift) * self._scale

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002  (the upstream's signature)
        """The loss of a batch, and its components, each of which is logged."""
        images, targets = batch
        parts = self.network.losses(self.normalised(images), targets)
        total = parts.pop("total", None)
        loss = torch.stack([part.float() for part in parts.values()]).sum() if total is None else total
        logged = {"train/loss": loss, **{f"train/loss_{name}": value for name, value in parts.items()}}
        several = self.trainer.world_size > 1
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=several)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  (the upstream's signature)
        """Store the answers, in pixels of the original images."""
        images, targets = batch
        found = self(self.normalised(images))
        decoder, loader = self.decoder(0.0), self.trainer.val_dataloaders
        for outputs, target in zip(found, targets, strict=True):
            number, view = loader.item(int(target["number"]))
            sample: Sample = loader.dataset[number]
            size = sample.size if view is None else (view.bottom - view.top, view.right - view.left)
            arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
            self._answers.append((number, view, decoder.decode(arrays, size, sample.path)))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics, computed by drivetrain's own code."""
        from drivetrain.metrics import evaluate

        loader = self.trainer.val_dataloaders
        dataset, items = loader.dataset, in_order(self._answers, len(loader.data.paths))
        samples: list[Sample] = []
        whole: list[Prediction] = []
        for number, parts in groupby(items, key=lambda part: part[0]):
            _, views, found = zip(*parts, strict=True)
            sample = dataset[number]
            samples.append(sample)
            whole.append(
                found[0] if views[0] is None else join_views(self.task, sample.path, sample.size, views, found)
            )
        self._answers.clear()
        answers = Predictions(whole, task=self.task, label_names=self.label_names)
        metrics = evaluate(samples, answers, task=self.task, label_names=self.label_names)
        logged = {f"val/{name}": metrics[name] for name in LOGGED[self.task] if name in metrics}
        self.log_dict(logged, sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> Any:
        """AdamW without decay on biases and norms; the schedule advances with every step."""
        default = _RATE_PRETRAINED if self.network.pretrained else self.network.rate
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


__all__ = ["LOGGED", "Target", "VisionModule"]
