"""Running Ultralytics' own trainers on in-memory data."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from drivetrain.engines.ultralytics.data import make_dataset
from drivetrain.engines.ultralytics.limits import STRIDE
from drivetrain.engines.ultralytics.states import RunCallback
from drivetrain.errors import ImageError, OptionError
from drivetrain.torch_training.trainer import too_few_to_normalise

#: The errors of Ultralytics' data sets when OpenCV returns no pixels, for objects and for classes.
_UNREADABLE = ("Image Not Found", "!_src.empty()")


def bind(
    base: Any, given: Mapping[str, Any], facts: Mapping[str, Any], callback: RunCallback, epochs: int | None
) -> Any:
    """A subclass of one of Ultralytics' trainers that trains on these data.

    Args:
        base: Ultralytics' trainer.
        given: ``train`` and ``val``: lists of records, or the user's own loaders.
        facts: names and shapes, see :func:`drivetrain.engines.ultralytics.data.facts`.
        callback: receives epochs and states.
        epochs: the total number of epochs after resuming; ``None`` for that in the checkpoint.
    """

    class BoundTrainer(base):  # type: ignore[misc]  # the upstream class is untyped here
        """Uses in-memory data and selects the best state by the common metric; everything else is Ultralytics' own."""

        best_fitness: float | None

        def get_dataset(self) -> dict[str, Any]:
            return {**facts, "train": given["train"], "val": given["val"], "test": given["val"]}

        def build_dataset(self, img_path: Any, mode: str = "train", batch: int | None = None) -> Any:
            return make_dataset(self, img_path, mode, batch, max(int(self.model.stride.max()), STRIDE))

        def get_dataloader(self, dataset_path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(dataset_path, torch.utils.data.DataLoader):
                return dataset_path
            return super().get_dataloader(dataset_path, *args, **kwargs)

        def validate(self) -> Any:
            before = self.best_fitness
            metrics, fitness = super().validate()
            if metrics is None:
                return metrics, fitness
            fitness = callback.fitness(self, metrics)
            self.best_fitness = fitness if before is None else max(before, fitness)
            return metrics, fitness

        def check_resume(self, overrides: dict[str, Any]) -> None:
            super().check_resume(overrides)
            if self.resume:
                self.args.epochs = epochs or self.args.epochs
                self.args.amp = overrides["amp"]  # for the device it resumes on, not the one it started on

        def final_eval(self) -> None:
            """Fit the depth scale; the best state has already been validated, and the last one stays resumable."""
            _fit_scale(self, callback)

    return BoundTrainer


def weigher(weights: Mapping[str, float]) -> Callable[[Any], None]:
    """A trainer event that sets the label weights of its model, before the first step."""

    def weigh(trainer: Any) -> None:
        values = [float(weights.get(name, 1.0)) for name in trainer.data["names"].values()]
        trainer.model.class_weights = torch.tensor(values, device=trainer.device)

    return weigh


def _fit_scale(trainer: Any, callback: RunCallback) -> None:
    """Fit the scale of a depth model's answers to the validation images, as Ultralytics does after training."""
    if trainer.args.task != "depth":
        return
    calibrate = importlib.import_module("ultralytics.models.yolo.depth.calibrate").calibrate_checkpoint
    for path in (trainer.best, trainer.last):
        if path.exists():
            calibrate(path, trainer.test_loader, trainer.device, max_depth=trainer.data.get("max_depth") or 100.0)
    callback.save_again(trainer)


def run(trainer: Any, threads: int) -> None:
    """Train with as many threads as torch had; on the CPU Ultralytics would leave a core idle.

    Raises:
        ImageError: an image cannot be read.
        OptionError: the last batch is one image, whose features cannot be normalised.
    """
    torch.set_num_threads(threads)
    try:
        trainer.train()
    except Exception as error:
        if isinstance(error, ValueError) and "BatchNorm" in str(error):
            raise OptionError(too_few_to_normalise()) from error
        if not any(mark in str(error) for mark in _UNREADABLE):
            raise
        raise ImageError(f"Ultralytics cannot read an image: {str(error).strip().splitlines()[-1]}") from error
