"""The default search space of Anomalib models, and reading back the options that the upstream actually used."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomalib.models.components import AnomalibModule
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from drivetrain.engines.anomalib.build import learning_rate_argument
from drivetrain.torch_training.trainer import effective_options as effective_trainer_options
from drivetrain.types.options import TrainOptions

_RATE: Mapping[str, Any] = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}
_SIZE: Mapping[str, Any] = {"image_size": [128, 192, 256]}
#: Models that gain more from searching their own arguments: class -> space.
_OWN: Mapping[str, Mapping[str, Any]] = {
    "Padim": {"model.n_features": {"low": 40, "high": 200}, **_SIZE},
    "Patchcore": {"model.num_neighbors": [1, 3, 9], "model.coreset_sampling_ratio": [0.01, 0.05, 0.1], **_SIZE},
}


def space_for(cls: type[AnomalibModule]) -> Mapping[str, Any]:
    """The space of a model class: its own, else the learning rate if it accepts one, else the image size."""
    usual = _RATE if learning_rate_argument(cls) is not None else _SIZE
    return _OWN.get(cls.__name__, usual)


def effective_options(trainer: Trainer, model: AnomalibModule, options: TrainOptions) -> dict[str, Any]:
    """The options that a finished trainer actually used, under our names; those that cannot be determined are omitted.

    Args:
        trainer: the upstream's trainer.
        model: the trained model.
        options: the options of ``train``; they determine which of the upstream's own options to look up.
    """
    stopping = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]
    used = {
        **effective_trainer_options(trainer, model, options),
        "seed": options.seed,  # Anomalib and Lightning store none to read back; the engine set it
        "image_size": list(model.input_size) if model.input_size else None,
        "patience": stopping[0].patience if stopping else None,
    }
    return {name: value for name, value in used.items() if value is not None}
