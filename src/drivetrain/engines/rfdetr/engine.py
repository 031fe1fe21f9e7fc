"""RF-DETR behind the common verbs, run by its own Lightning modules and trainer."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.rfdetr import SPEC
from drivetrain.engines.rfdetr.framework import RFDETRFramework


class RFDETREngine(Engine):
    """Trains and runs RF-DETR models with RF-DETR's own Lightning modules.

    ``model_args`` of a model given by name are the fields of its configuration (``num_queries``, ``dec_layers``,
    ``freeze_encoder``, ...); ``pretrain_weights`` is a local file, and nothing is downloaded. ``engine_args`` are
    RF-DETR's own training options (``use_ema``, ``aug_config``, ``multi_scale``, ``grad_accum_steps``, ...) and
    arguments of ``pytorch_lightning``'s trainer.
    """

    spec = SPEC
    framework_class = RFDETRFramework
