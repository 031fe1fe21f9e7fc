"""Anomalib's models behind the common verbs, run by Anomalib's own engine."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.anomalib import SPEC
from drivetrain.engines.anomalib.framework import AnomalibFramework


class AnomalibEngine(Engine):
    """Trains and runs any Anomalib model through Anomalib's own engine.

    ``model_args`` are those of the model's constructor, plus ``pretrained`` (a local file with the weights
    of the backbone, ``True`` if they may be downloaded, ``False`` for random ones) and ``sensitivity`` (0..1).
    ``engine_args`` are the options of Lightning's ``Trainer``, plus ``threshold_source``: ``"auto"``,
    ``"val"``, ``"synthetic"`` (synthetic defects on normal validation images) or ``"test"``.
    """

    spec = SPEC
    framework_class = AnomalibFramework
