"""The callback with which Ultralytics' trainers report to the run and save its best and last states."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.errors import OptionError, near
from drivetrain.machine import files
from drivetrain.runs.run import Run
from drivetrain.types import Task
from drivetrain.types.results import lower_is_better

#: Ultralytics' name of a validation metric -> ours.
_BOXES = {"metrics/mAP50-95(B)": "val/map", "metrics/mAP50(B)": "val/map_50"}
_NAMES: dict[Task, dict[str, str]] = {
    Task.CLASSIFICATION: {"metrics/accuracy_top1": "val/accuracy", "metrics/accuracy_top5": "val/accuracy_top5"},
    Task.DETECTION: _BOXES,
    Task.ORIENTED_DETECTION: _BOXES,
    Task.INSTANCE_SEGMENTATION: {
        "metrics/mAP50-95(M)": "val/mask_map",
        "metrics/mAP50(M)": "val/mask_map_50",
        **_BOXES,
    },
    Task.KEYPOINT_DETECTION: {
        "metrics/mAP50-95(P)": "val/keypoint_map",
        "metrics/mAP50(P)": "val/keypoint_map_50",
        **_BOXES,
    },
    Task.SEMANTIC_SEGMENTATION: {"metrics/mIoU": "val/miou", "metrics/pixel_acc": "val/pixel_accuracy"},
    Task.DEPTH: {"metrics/delta1": "val/delta1_aligned"},  # each image is scaled to its truth, unlike in our metric
}


class RunCallback:
    """Handlers for Ultralytics' training events.

    Args:
        run: receives every step and epoch.
        task: determines the names of the metrics.
        metric: selects the best state, such as ``"val/map_50"``; ``None`` for the main metric of the task.
        every: validate every this many epochs, and always after the last one.
    """

    def __init__(self, run: Run, task: Task, metric: str | None, every: int = 1) -> None:
        self.run, self.task, self.every = run, task, every
        run.metric = self.metric = metric or f"val/{task.main_metric}"
        self.best_epoch: int | None = None
        self._step = 0
        self._images = 0
        self._logged = -1
        self._validated = False

    @property
    def best_checkpoint(self) -> Path | None:
        """The best state so far."""
        path = self.run.checkpoints / "best.pt"
        return path if path.is_file() else None

    @property
    def last_checkpoint(self) -> Path:
        """The state after the last complete epoch."""
        return self.run.checkpoints / "last.pt"

    def events(self) -> dict[str, Any]:
        """Ultralytics' event -> handler, which is called with the trainer."""
        return {
            "on_train_start": self._start,
            "on_train_epoch_start": self._epoch_start,
            "on_train_batch_start": self._batch_start,
            "on_train_batch_end": self._batch_end,
            "on_train_epoch_end": self._before_validation,
            "on_fit_epoch_end": self._epoch_end,
        }

    def fitness(self, trainer: Any, metrics: Mapping[str, float]) -> float:
        """The number that the best state maximises.

        Raises:
            OptionError: the requested metric is not measured.
        """
        self._validated = True
        named = self._named(trainer, metrics)
        if self.metric not in named:
            known = sorted(name for name in named if name.startswith("val/"))
            raise OptionError(
                f"metric={self.metric!r} is not measured.{near(self.metric, known)} Measured: {', '.join(known)}."
            )
        value = named[self.metric]
        if math.isnan(value):
            return -math.inf
        return -value if lower_is_better(self.metric) else value

    def _named(self, trainer: Any, metrics: Mapping[str, float]) -> dict[str, float]:
        """Ultralytics' metrics under our names; those without one are under ``upstream/``."""
        names = _NAMES[self.task]
        train = trainer.label_loss_items(trainer.tloss)
        losses = {name: value for name, value in metrics.items() if name.startswith("val/")}
        found = {"train/loss": float(sum(train.values()))}
        if metrics:
            found["val/loss"] = float(sum(losses.values()))
        parts = {**train, **losses}
        if len(train) > 1:
            found.update({name: float(value) for name, value in parts.items()})
        for theirs, ours in names.items():
            if theirs in metrics:
                found[ours] = float(metrics[theirs])
        rest = {name: value for name, value in metrics.items() if name not in names and name not in losses}
        found.update({f"upstream/{name.removeprefix('metrics/')}": float(value) for name, value in rest.items()})
        found["learning_rate"] = float(trainer.optimizer.param_groups[0]["lr"])
        return found

    def _start(self, trainer: Any) -> None:
        epochs, steps = trainer.epochs, len(trainer.train_loader)
        self.run.progress.start(epochs=epochs, steps_per_epoch=steps, first_epoch=trainer.start_epoch)
        if trainer.start_epoch == 0:
            self._logged = -1

    def _epoch_start(self, trainer: Any) -> None:
        del trainer
        self._step = 0

    def _batch_start(self, trainer: Any) -> None:
        """Infer the number of images, which Ultralytics does not report: all batches except the last are full."""
        total = len(getattr(trainer.train_loader, "sampler", None) or trainer.train_loader.dataset)
        size = trainer.train_loader.batch_size or 1
        self._images = min(size, total - self._step * size)

    def _batch_end(self, trainer: Any) -> None:
        loss = float(trainer.loss.detach()) if trainer.device.type == "cpu" or self._step % 20 == 0 else None
        self.run.progress.step(epoch=trainer.epoch, step=self._step, images=self._images, loss=loss)
        self._step += 1

    def _before_validation(self, trainer: Any) -> None:
        """Let the trainer skip the validation of this epoch, and if so, discard the fitness of an earlier one."""
        self._validated = False
        trainer.args.val = (trainer.epoch + 1) % self.every == 0
        if not trainer.args.val:
            trainer.fitness = None  # otherwise this state would replace the best one

    def _save(self, trainer: Any) -> None:
        """Copy under a temporary name, then rename, so that a checkpoint is never incomplete."""
        pairs = [(trainer.last, self.last_checkpoint)]
        if self._validated and trainer.best_fitness == trainer.fitness:
            pairs.insert(0, (trainer.best, self.run.checkpoints / "best.pt"))
            self.best_epoch = trainer.epoch
        _copy(pairs)

    def save_again(self, trainer: Any) -> None:
        """Copy the checkpoints again after they were changed at the end of training."""
        targets = (trainer.best, self.run.checkpoints / "best.pt"), (trainer.last, self.last_checkpoint)
        _copy([(source, target) for source, target in targets if source.is_file()])

    def _epoch_end(self, trainer: Any) -> None:
        if trainer.epoch <= self._logged:
            return
        self._logged = trainer.epoch
        self._save(trainer)
        self.run.log_epoch(trainer.epoch, self._named(trainer, trainer.metrics if self._validated else {}))


def _copy(pairs: list[tuple[Path, Path]]) -> None:
    for source, target in pairs:
        with files.whole_file(target) as part:
            shutil.copyfile(source, part)
