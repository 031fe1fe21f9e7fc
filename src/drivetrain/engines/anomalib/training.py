"""What our run needs to see of Anomalib's training: epochs, metrics, the best and the last state."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.metrics import AUROC
from anomalib.models.components import AnomalibModule
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from drivetrain.engines.anomalib.build import is_memory_bank
from drivetrain.engines.anomalib.checkpoints import OUR_KEY, describe
from drivetrain.run import Run

VALIDATION_METRICS = {"val/image_auroc": ("pred_score", "gt_label"), "val/pixel_auroc": ("anomaly_map", "gt_mask")}
LEARNING_METRICS = ("train/loss",)
_EVERY_RENAMED = {"train_loss": "train/loss", "train_loss_epoch": "train/loss", "loss": "train/loss"}


class ValidationMetrics(Callback):  # type: ignore[misc]  # the base is not typed
    """Computes metrics in validation that a checkpoint can be chosen by; Anomalib has none by default."""

    def __init__(self) -> None:
        self._metrics = {
            name: AUROC(fields=list(fields), prefix="val_", strict=False) for name, fields in VALIDATION_METRICS.items()
        }
        self._seen: dict[str, set[bool]] = {name: set() for name in self._metrics}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Take in the raw scores of a batch."""
        if trainer.sanity_checking:
            return
        for name, metric in self._metrics.items():
            scores, truth = (getattr(batch, field, None) for field in VALIDATION_METRICS[name])
            if scores is None or truth is None:
                continue
            self._seen[name] |= {bool(truth.any()), not bool((~truth.bool()).any())}
            metric.cpu().update(_OnCpu(**dict(zip(VALIDATION_METRICS[name], (scores.cpu(), truth.cpu()), strict=True))))
        del pl_module, outputs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the metrics of the images that had both kinds."""
        del trainer, pl_module
        for name, metric in self._metrics.items():
            if self._seen[name] == {True, False}:
                self.log(name, metric.compute())
            metric.reset()
            self._seen[name] = set()


class _OnCpu:
    """A batch with the two fields that a metric reads."""

    def __init__(self, **fields: torch.Tensor) -> None:
        for name, value in fields.items():
            setattr(self, name, value)


class Recorder(Callback):  # type: ignore[misc]  # the base is not typed
    """Tells the run about steps and epochs.

    Args:
        run: what is told.
        model: what is trained; its checkpoints say which class they are of.
    """

    def __init__(self, run: Run, model: AnomalibModule) -> None:
        self._run = run
        self._keeps_state = not is_memory_bank(model)
        self._description = describe(model)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how much there is to do."""
        del pl_module
        steps = int(trainer.num_training_batches) if trainer.num_training_batches < 1e9 else None
        self._run.progress.start(
            epochs=trainer.max_epochs or 1, steps_per_epoch=steps, first_epoch=trainer.current_epoch
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images."""
        del pl_module
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        value = float(loss.detach()) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else None
        self._run.progress.step(epoch=trainer.current_epoch, step=batch_idx, images=len(batch.image), loss=value)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, whose validation is over by now."""
        del pl_module
        self._run.log_epoch(trainer.current_epoch, epoch_metrics(trainer))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint which model it is of."""
        del trainer, pl_module
        checkpoint[OUR_KEY] = self._description

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep the state when the user stops the training."""
        del pl_module
        if isinstance(exception, KeyboardInterrupt) and self._keeps_state and trainer.state.fn == TrainerFn.FITTING:
            trainer.save_checkpoint(self._run.checkpoints / "last.ckpt")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the only pass of a model that needs no training."""
        del pl_module
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._run.log_epoch(0, epoch_metrics(trainer))


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """What was logged in the epoch, under our names, and the learning rate."""
    found: dict[str, float] = {}
    for name, value in trainer.callback_metrics.items():
        if "/" in name:
            ours = name
        elif name in _EVERY_RENAMED:
            ours = _EVERY_RENAMED[name]
        elif name.endswith("_step"):
            continue
        else:
            ours = "upstream/" + name
        found[ours] = float(value)
    optimizers = [optimizer for optimizer in trainer.optimizers if optimizer.param_groups]
    if optimizers:
        found["learning_rate"] = float(optimizers[0].param_groups[0]["lr"])
    return found


def checkpoint_callbacks(run: Run, metric: str | None) -> list[ModelCheckpoint]:
    """Callbacks that keep ``last.ckpt``, and ``best.ckpt`` if there is a metric to choose by."""
    common = {"dirpath": run.checkpoints, "auto_insert_metric_name": False, "enable_version_counter": False}
    callbacks = [ModelCheckpoint(filename="last", save_top_k=1, **common)]
    if metric is not None:
        mode = "min" if "loss" in metric else "max"
        callbacks.append(ModelCheckpoint(filename="best", monitor=metric, mode=mode, save_top_k=1, **common))
    return callbacks


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn what Lightning makes of Ctrl-C (an exit with the signal switched off) back into a KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGINT, before)
