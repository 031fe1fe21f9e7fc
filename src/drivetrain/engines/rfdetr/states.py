"""The callback with which RF-DETR's training reports to the run and saves states that RF-DETR itself can open."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from drivetrain.engines.rfdetr.checkpoint import OUR_KEY
from drivetrain.machine.packages import version_of
from drivetrain.torch_training.run_callback import LightningRunCallback
from drivetrain.types import Task

#: RF-DETR's name for a metric of the predicting weights -> ours.
_NAMES: dict[Task, dict[str, str]] = {
    Task.DETECTION: {"mAP_50_95": "map", "mAP_50": "map_50"},
    Task.INSTANCE_SEGMENTATION: {
        "segm_mAP_50_95": "mask_map",
        "segm_mAP_50": "mask_map_50",
        "mAP_50_95": "map",
        "mAP_50": "map_50",
    },
    Task.KEYPOINT_DETECTION: {
        "keypoint_map_50_95": "keypoint_map",
        "keypoint_map_50": "keypoint_map_50",
        "mAP_50_95": "map",
        "mAP_50": "map_50",
    },
}
_REPEATED = re.compile(r"_(\d+|enc)$")
_LOSS = re.compile(r"(train|val)/loss\w*")
_SKIPPED = re.compile(r"train/lr\w*|loss\w*|mask_\w+|kp_\w+|\w+/cardinality_error\w*")


def metric_names(task: Task, *, averaged: bool) -> Callable[[Mapping[str, float]], dict[str, float]]:
    """A function that maps the metrics logged by RF-DETR to our names.

    Args:
        task: the task of the model.
        averaged: whether averaged weights are used to predict; the other weights' metrics are then ``upstream/...``.
    """
    prefix = "val/ema_" if averaged else "val/"
    table = {f"{prefix}{theirs}": f"val/{ours}" for theirs, ours in _NAMES[task].items()}

    def named(values: Mapping[str, float]) -> dict[str, float]:
        found = {}
        for name, value in values.items():
            if name in table:
                found[table[name]] = value
            elif _LOSS.fullmatch(name):  # the losses of all decoder layers would be thirty columns
                found |= {} if _REPEATED.search(name) else {name: value}
            elif not _SKIPPED.fullmatch(name):
                found[f"upstream/{name}"] = value
        return found

    return named


class RFDETRRunCallback(LightningRunCallback):
    """Adds what ``RFDETR.from_checkpoint`` needs to each state, and stores only the weights of the best one.

    The weights used to predict are those that were validated: the averaged ones, if there are any.
    """

    key = OUR_KEY
    _answering: dict[str, torch.Tensor] | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Restore the averaged weights of a resumed run: Lightning restores them after RF-DETR has looked for them."""
        average = _average_of(trainer)
        if self._restored is not None and average is not None:
            average.setup(trainer, pl_module, "fit")
        super().on_fit_start(trainer, pl_module)

    def count_images(self, batch: Any) -> int:
        """The number of targets in a batch of RF-DETR's own format, one per image."""
        return len(batch[1])

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Remember the averaged weights as validated; the end of the epoch changes them."""
        super().on_validation_end(trainer, pl_module)
        average = _average_of(trainer)
        self._answering = average.get_ema_model_state_dict() if average is not None else None

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint readable by RF-DETR as well."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint.update(self._own_entries(trainer, pl_module))

    def _own_entries(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        config = pl_module.model_config.model_dump(exclude={"pretrain_weights", "device", "model_name"})
        arguments = pl_module.train_config.model_dump(mode="json", exclude={"output_dir", "dataset_dir", "resume"})
        arguments |= {name: config[name] for name in ("num_queries", "group_detr", "num_classes")}
        average = _average_of(trainer)
        weights = self._answering or (average.get_ema_model_state_dict() if average is not None else None)
        return {
            "model": weights or plain_module(pl_module.model).state_dict(),
            "args": arguments,
            "model_name": pl_module.model_config.model_name,
            "model_config": config,
            "rfdetr_version": version_of("rfdetr"),
        }

    def write_best(self, trainer: Any, last: Path, best: Path) -> None:
        """Write only the weights and their description, a fifth of the whole state."""
        del last
        content = {self.key: self.describe(), "epoch": trainer.current_epoch, "global_step": trainer.global_step}
        torch.save({**content, **self._own_entries(trainer, trainer.lightning_module)}, best)


def plain_module(model: Any) -> Any:
    """The network itself, without a wrapper from torch.compile."""
    return getattr(model, "_orig_mod", model)


def _average_of(trainer: Any) -> Any:
    """RF-DETR's callback that averages the weights, or ``None``."""
    return next((item for item in trainer.callbacks if hasattr(item, "get_ema_model_state_dict")), None)
