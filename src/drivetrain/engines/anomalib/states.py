"""Callbacks that report Anomalib's training to our run: epochs, metrics, the best and the last state."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.models.components import AnomalibModule
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray

from drivetrain.engines.anomalib.build import is_memory_bank
from drivetrain.engines.anomalib.checkpoint import OUR_KEY, describe
from drivetrain.metrics._pixel_areas import PixelAreas
from drivetrain.metrics._ranking import area_under_roc
from drivetrain.runs.run import Run
from drivetrain.torch_training.process import seed_everything
from drivetrain.types.results import lower_is_better

VALIDATION_METRICS = ("val/image_auroc", "val/pixel_auroc")
LEARNING_METRICS = ("train/loss",)
_STRIDE = 1_000_003
_EVERY_RENAMED = {"train_loss": "train/loss", "train_loss_epoch": "train/loss", "loss": "train/loss"}


class ValidationMetrics(Callback):  # type: ignore[misc]  # the base is not typed
    """Computes validation metrics for selecting a checkpoint; Anomalib computes none by default.

    Raw scores of any range are ranked; Anomalib's own AUROC clips scores outside of 0..1, which makes them equal.
    """

    def __init__(self) -> None:
        self._truth: list[NDArray[np.bool_]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._pixels = PixelAreas()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start over."""
        del trainer, pl_module
        self._truth, self._scores, self._pixels = [], [], PixelAreas()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Add the raw scores of a batch."""
        del pl_module, outputs
        if trainer.sanity_checking or batch.gt_label is None:
            return
        if batch.pred_score is not None:
            self._truth.append(batch.gt_label.reshape(-1).bool().cpu().numpy())
            self._scores.append(batch.pred_score.detach().reshape(-1).float().cpu().numpy())
        if batch.anomaly_map is not None and batch.gt_mask is not None:
            masks = batch.gt_mask.bool().cpu().numpy()
            maps = batch.anomaly_map.detach().float().cpu().numpy().reshape(masks.shape)
            for mask, scores in zip(masks, maps, strict=True):
                self._pixels.add(mask, scores, None)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the metrics if both normal and anomalous images occurred."""
        del trainer, pl_module
        found = {"val/pixel_auroc": self._pixels.auroc()}
        if self._truth:
            found["val/image_auroc"] = area_under_roc(np.concatenate(self._truth), np.concatenate(self._scores))
        for name, value in sorted(found.items()):
            if np.isfinite(value):
                self.log(name, torch.tensor(value))


class AnomalibRunCallback(Checkpoint):  # type: ignore[misc]  # the base is not typed
    """Reports steps and epochs to the run, and makes every epoch depend only on the seed and its number.

    Lightning calls a callback of this kind last, so an epoch is reported when its state is saved; a run that is
    interrupted and resumed then ends like an uninterrupted one.

    Args:
        run: receives steps, epochs and metrics.
        model: the model being trained; its checkpoints record their class.
        seed: the seed of everything random.
    """

    def __init__(self, run: Run, model: AnomalibModule, seed: int) -> None:
        self._run = run
        self._seed = seed
        self._keeps_state = not is_memory_bank(model)
        self._description = describe(model)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the amount of work."""
        del pl_module
        steps = int(trainer.num_training_batches) if trainer.num_training_batches < 1e9 else None
        self._run.progress.start(
            epochs=trainer.max_epochs or 1, steps_per_epoch=steps, first_epoch=trainer.current_epoch
        )
        self._reseed(trainer.current_epoch)  # the next hook is skipped for the first epoch of a resumed run

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch with its own random state."""
        del pl_module
        self._reseed(trainer.current_epoch)

    def _reseed(self, epoch: int) -> None:
        seed_everything((self._seed + _STRIDE * epoch) % 2**32)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images."""
        del pl_module
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        value = float(loss.detach()) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else None
        self._run.progress.step(epoch=trainer.current_epoch, step=batch_idx, images=len(batch.image), loss=value)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, whose validation has finished by now."""
        del pl_module
        self._run.log_epoch(trainer.current_epoch, epoch_metrics(trainer))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record in the checkpoint which model it belongs to."""
        del trainer, pl_module
        checkpoint[OUR_KEY] = self._description

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the state if the user stops the first epoch; later on, the state of the last complete epoch exists."""
        del pl_module
        path = self._run.checkpoints / "last.ckpt"
        stopped = isinstance(exception, KeyboardInterrupt) and trainer.state.fn == TrainerFn.FITTING
        if stopped and self._keeps_state and not path.is_file():
            trainer.save_checkpoint(path)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the single pass of a model that needs no training."""
        del pl_module
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._run.log_epoch(0, epoch_metrics(trainer))


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics logged in the epoch, under our names, and the learning rate."""
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
    """Callbacks that save ``last.ckpt``, and ``best.ckpt`` if there is a metric to select by."""
    common = {"dirpath": run.checkpoints, "auto_insert_metric_name": False, "enable_version_counter": False}
    callbacks = [ModelCheckpoint(filename="last", save_top_k=1, **common)]
    if metric is not None:
        mode = "min" if lower_is_better(metric) else "max"
        callbacks.append(ModelCheckpoint(filename="best", monitor=metric, mode=mode, save_top_k=1, **common))
    return callbacks


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn Lightning's reaction to Ctrl-C (an exit with the signal disabled) back into a KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGINT, before)
