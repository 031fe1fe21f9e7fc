"""Giving rare classes the same weight as frequent ones, in the loss or in the sampling of images."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from drivetrain.data.balance import class_weights
from drivetrain.errors import UnsupportedOptionError
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset


def check_task(options: TrainOptions, find_task: Callable[[], Task]) -> None:
    """Refuse class weights for a task whose loss and sampling do not support them here.

    Raises:
        UnsupportedOptionError: the message names the option.
    """
    for name in ("class_weights", "sampler"):
        value = getattr(options, name)
        if value is not None and find_task() not in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION):
            raise UnsupportedOptionError(
                f"{name}={value!r} cannot be honoured: the Lightning engine weights classes only for classification. "
                "Leave it out."
            )


def weigh(module: Any, dataset: Dataset, options: TrainOptions) -> None:
    """Set the class weights of the module, for the loss of the training that follows.

    Args:
        module: a module with ``class_weights`` and ``label_names``.
        dataset: a data set with a subset ``train``.
        options: the options of ``train``.
    """
    module.class_weights = None
    if options.class_weights is not None:
        weights = class_weights(dataset.relabel(module.label_names), options.class_weights)
        module.class_weights = torch.tensor(list(weights.values()))


def used_balance(trainer: Any, module: Any) -> dict[str, Any]:
    """The measures for rare classes of a running trainer, under our names; empty if there are none."""
    found: dict[str, Any] = {}
    weights = getattr(module, "class_weights", None)
    if isinstance(weights, torch.Tensor):
        found["class_weights"] = dict(zip(module.label_names, weights.tolist(), strict=True))
    batches = getattr(trainer.train_dataloader, "batch_sampler", None)
    if getattr(getattr(batches, "sampler", None), "weights", None) is not None:
        found["sampler"] = "balanced"
    return found
