"""The callback with which Lightning trainers report to the run and save its best and last states."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

import importlib
import math
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drivetrain.errors import OptionError, near
from drivetrain.machine import files
from drivetrain.runs.run import Run
from drivetrain.types.results import lower_is_better

_LOSSES = ("val/loss", "val_loss", "valid_loss", "valid/loss", "validation_loss", "validation/loss")


def random_state() -> dict[str, Any]:
    """The state of the global random number generators as plain data."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a state taken by :func:`random_state`."""
    torch.set_rng_state(state["torch"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, numbers, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, numbers.numpy().astype(np.uint32), position, has_gauss, cached))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


class LightningRunCallback:
    """The hooks of a Lightning callback; :func:`run_callback` combines it with the module's own callback class.

    Args:
        run: receives every step and epoch.
        describe: returns what the checkpoints say about the model.
        read_back: returns the options that the trainer actually uses, for the record.
        metric: the metric that selects the best state; ``None`` for ``default_metric`` or the validation loss, if
            logged.
        default_metric: the metric to select by if none is requested.
        patience: number of validations without improvement before training stops.
        named: maps the logged metrics to the names under which the run records them.
    """

    #: The key under which a checkpoint describes its model; each engine has its own.
    key = "drivetrain_model"

    def __init__(
        self,
        run: Run,
        describe: Callable[[], dict[str, Any]],
        read_back: Callable[[Any], dict[str, Any]],
        *,
        metric: str | None,
        default_metric: str | None,
        patience: int | None,
        named: Callable[[Mapping[str, float]], dict[str, float]] = dict,
    ) -> None:
        self.named = named
        self.run, self.describe, self.read_back = run, describe, read_back
        self.asked, self.default, self.patience = metric, default_metric, patience
        self.metric: str | None = None
        self.best: tuple[float, float] | None = None
        self.best_epoch: int | None = None
        self.waited = 0
        self.interrupted = False
        self.stopped_early = False
        self._validated: set[str] = set()
        self._before: set[str] = set()
        self._fresh = False
        self._rate: float | None = None
        self._random: dict[str, Any] | None = None
        self._restored: Mapping[str, Any] | None = None

    @property
    def best_checkpoint(self) -> Path | None:
        """The best state, if there was a metric to select by."""
        path = self.run.checkpoints / "best.ckpt"
        return path if self.best_epoch is not None and path.is_file() else None

    @property
    def last_checkpoint(self) -> Path:
        """The state after the last complete epoch."""
        return self.run.checkpoints / "last.ckpt"

    # --- state stored in the checkpoint --------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs."""
        names = ("metric", "best", "best_epoch", "waited")
        return {**{name: getattr(self, name) for name in names}, "validated": sorted(self._validated)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an earlier run; a metric that is only given now starts from scratch."""
        self._validated = set(state_dict["validated"])
        if self.asked is not None and self.asked != state_dict["metric"]:
            return
        self.metric, self.best_epoch = state_dict["metric"], state_dict["best_epoch"]
        self.run.metric = self.metric
        self.best = tuple(state_dict["best"]) if state_dict["best"] is not None else None
        self.waited = state_dict["waited"]

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the description of the model to the checkpoint."""
        checkpoint[self.key] = self.describe()
        checkpoint["drivetrain_random"] = self._random or random_state()

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Remember the random state until everything is set up."""
        self._restored = checkpoint.get("drivetrain_random")

    # --- training ------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Restore the random state, before the upstream creates its first iterator."""
        if self._restored is not None:
            set_random_state(self._restored)
        self._random = random_state()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Save the initial state, so that there is always something to resume from."""
        patience = {"patience": self.patience} if self.patience is not None else {}
        self.run.update(effective_options={**self.read_back(trainer), **patience})
        steps = trainer.num_training_batches
        steps_per_epoch = int(steps) if math.isfinite(steps) else None
        epochs = trainer.max_epochs if trainer.max_epochs is not None else 0
        self.run.progress.start(epochs=epochs, steps_per_epoch=steps_per_epoch, first_epoch=trainer.current_epoch)
        if self._restored is None:
            self._save(trainer, is_best=False)
        elif not hasattr(trainer.fit_loop, "is_resuming"):
            return  # older versions recreate the iterator after this, so the state is restored again below
        self._random = None
        self._restored = None

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Mark the epoch as not yet validated."""
        if self._restored is not None:
            set_random_state(self._restored)
            self._restored = self._random = None
        self._fresh = False

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Remember the learning rate of the step."""
        if trainer.optimizers:
            self._rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        # reading the loss synchronises with an accelerator, so there it is only read occasionally
        shown = loss is not None and (pl_module.device.type == "cpu" or batch_idx % 20 == 0)
        value = float(loss) if shown and loss is not None else None
        images = self.count_images(batch) * trainer.world_size
        self.run.progress.step(epoch=trainer.current_epoch, step=batch_idx, images=images, loss=value)

    def count_images(self, batch: Any) -> int:
        """The number of images in a batch."""
        return _count(batch)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Remember which metrics exist before the validation."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Remember which metrics the validation added."""
        if not trainer.sanity_checking:
            self._validated |= set(trainer.callback_metrics) - self._before
            self._fresh = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Record the epoch, compare it with the best, and save it."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        current = {name: value for name, value in values.items() if self._fresh or name not in self._validated}
        metrics = self.named(current)
        if self._rate is not None:
            metrics.setdefault("learning_rate", self._rate)
        is_best = self._fresh and self._compare(metrics, trainer.current_epoch)
        if trainer.is_global_zero:
            self.run.log_epoch(trainer.current_epoch, metrics)
        self._save(trainer, is_best=is_best)
        if self._fresh and self.patience is not None and self.waited >= self.patience:
            self.stopped_early = trainer.should_stop = True

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Remember that the user stopped the training; the upstream turns this into an exit."""
        self.interrupted = self.interrupted or isinstance(exception, KeyboardInterrupt)

    # --- the best state ------------------------------------------------------------------------------------------

    def _compare(self, metrics: Mapping[str, float], epoch: int) -> bool:
        """Whether this is the best so far; ties are broken by the lower validation loss."""
        name = self._choose(metrics)
        if name is None:
            return False
        sign = -1.0 if lower_is_better(name) else 1.0
        loss = next((metrics[key] for key in _LOSSES if key in metrics), 0.0)
        value = (sign * metrics[name], -loss)
        if any(math.isnan(part) for part in value):
            self.waited += 1
            return False
        better = self.best is None or value > self.best
        self.waited = 0 if self.best is None or value[0] > self.best[0] else self.waited + 1
        if better:
            self.best, self.best_epoch = value, epoch
        return better

    def _choose(self, metrics: Mapping[str, float]) -> str | None:
        if self.metric is None:
            candidates = [self.asked] if self.asked is not None else [self.default, *_LOSSES]
            self.metric = next((name for name in candidates if name is not None and name in metrics), None)
            self.run.metric = self.metric
        if self.metric is not None and self.metric in metrics:
            return self.metric
        known = sorted(set(metrics) - {"learning_rate"})
        if self.asked is not None:
            check_logged(self.asked, known)
        if self.patience is not None:
            raise OptionError(
                f"patience={self.patience} needs a metric to watch, and none was found. Logged: "
                f"{', '.join(known) or 'none'}. Give metric=..., or leave patience out."
            )
        return None

    def _save(self, trainer: Any, *, is_best: bool) -> None:
        """Write the state under a temporary name, then rename it, so that a checkpoint is never incomplete."""
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.last_checkpoint)  # all processes take part; the first one writes
            return
        with files.whole_file(self.last_checkpoint) as part:
            trainer.save_checkpoint(part)
            if is_best:
                with files.whole_file(self.run.checkpoints / "best.ckpt") as best:
                    self.write_best(trainer, part, best)

    def write_best(self, trainer: Any, last: Path, best: Path) -> None:  # noqa: ARG002
        """Write the best state to ``best``, an empty file; ``last`` has just been written and holds the same state."""
        best.unlink()
        try:
            os.link(last, best)
        except OSError:  # a file system without hard links
            shutil.copyfile(last, best)


def run_callback(
    package: str, *args: Any, kind: type[LightningRunCallback] = LightningRunCallback, **kwargs: Any
) -> Any:
    """A :class:`LightningRunCallback` that is a checkpoint callback of ``lightning.pytorch`` or ``pytorch_lightning``.

    Being one makes Lightning run it after all other callbacks, when all metrics are known.
    """
    base = importlib.import_module(f"{package}.callbacks").Checkpoint
    return type(kind.__name__, (kind, base), {"state_key": "drivetrain"})(*args, **kwargs)


def check_logged(metric: str, known: Sequence[str]) -> None:
    """Refuse a metric that is not logged.

    Raises:
        OptionError: the message lists those that are logged.
    """
    if metric not in known:
        raise OptionError(
            f"metric={metric!r} is not logged.{near(metric, known)} Logged: {', '.join(known) or 'none'}."
        )


def _count(batch: Any) -> int:
    """The number of images in a batch of any structure: the length of its first tensor."""
    while not isinstance(batch, torch.Tensor):
        if isinstance(batch, Mapping) and batch:
            batch = next(iter(batch.values()))
        elif isinstance(batch, list | tuple) and batch:
            batch = batch[0]
        else:
            return 0
    return len(batch) if batch.ndim else 1
