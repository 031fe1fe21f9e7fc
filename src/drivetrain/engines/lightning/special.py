"""Training options that only some engines have: an average of the weights, the backbone, mosaics, tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drivetrain.engines.lightning.models.averaging import WeightAverage
from drivetrain.engines.lightning.models.trained_parts import frozen_backbone
from drivetrain.errors import UnsupportedOptionError
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions

_OF_SCENES = ("mosaic", "scale_jitter", "tile")
#: Around the rates that these models start from: 1e-3 of SSD to 2e-4 of transformers.
_SPACE_OF_SCENES = {"learning_rate": {"low": 5e-5, "high": 5e-3, "log": True}, "batch_size": [4, 8, 16]}


def search_space(usual: Mapping[str, Any], *, scenes: bool) -> Mapping[str, Any]:
    """What a search varies if nothing else is asked for.

    Args:
        usual: for classifiers.
        scenes: whether the model finds objects or classifies pixels.
    """
    return _SPACE_OF_SCENES if scenes else usual


def check_task(options: TrainOptions, find_task: Callable[[], Task]) -> None:
    """Refuse options for images with objects or class maps if the task is a different one.

    Raises:
        UnsupportedOptionError: names the option.
    """
    for name in _OF_SCENES:
        value = getattr(options, name)
        if value is not None and find_task() in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION):
            raise UnsupportedOptionError(
                f"{name}={value!r} cannot be honoured: part of an image, or four in one, may have a different label "
                "from the whole. It is for detectors and segmentation models. Leave it out."
            )


def callbacks(options: TrainOptions) -> list[Any]:
    """The callbacks for the trainer in addition to the user's own."""
    return [] if options.ema is None else [WeightAverage(options.ema)]


@contextmanager
def applied(module: Any, options: TrainOptions, *, own: bool) -> Iterator[None]:
    """Apply the options for the backbone to the module during a training.

    Args:
        module: the module to be trained.
        options: of ``train``.
        own: whether it is a user-defined module, which supports none of these.
    """
    if own:
        yield
        return
    module.backbone_rate = options.backbone_learning_rate
    with frozen_backbone(module, module.head, asked=bool(options.freeze_backbone)):
        yield


def used_options(trainer: Any, module: Any, options: TrainOptions) -> dict[str, Any]:
    """What a trainer that has started uses of these options, by our names; empty if nothing."""
    found: dict[str, Any] = {}
    average = next((item for item in trainer.callbacks if isinstance(item, WeightAverage)), None)
    if average is not None:
        found["ema"] = average.decay
    if options.backbone_learning_rate is not None:
        rates = {group.get("initial_lr", group["lr"]) for made in trainer.optimizers for group in made.param_groups}
        found["backbone_learning_rate"] = next(rate for rate in rates if rate == module.backbone_rate)
    if options.freeze_backbone:
        found["freeze_backbone"] = any(not value.requires_grad for value in module.net.parameters())
    loader = trainer.train_dataloader
    if getattr(loader, "tiles", None) is not None:
        found["tile"] = [loader.tiles.tiling.size, loader.tiles.tiling.overlap]
    if getattr(loader, "mosaic", 0):
        found["mosaic"] = loader.mosaic
    if options.scale_jitter is not None:
        found["scale_jitter"] = 1 + loader.changes.zoom
    return found
