"""getitune's models behind the common verbs."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.getitune import SPEC
from drivetrain.engines.getitune.framework import GetituneFramework


class GetituneEngine(Engine):
    """Trains and runs getitune's Lightning models, with its own data module, augmentation, losses and schedules.

    ``model_args`` of a model given by name are arguments of its class (``pretrained_weights``, ``freeze_backbone``,
    ...); nothing is downloaded. ``engine_args`` are arguments of Lightning's trainer, which override the recipe's.
    """

    spec = SPEC
    framework_class = GetituneFramework
