"""Anomalib's models behind the common verbs; Anomalib's own engine does the work."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.anomalib import SPEC
from drivetrain.engines.anomalib.framework import AnomalibFramework


class AnomalibEngine(Engine):
    """Trains and runs any Anomalib model through Anomalib's own engine.

    ``model_args`` are those of the model's constructor, and beside them ``pretrained`` (a local file with the weights
    of the backbone, ``True`` if they may be downloaded, ``False`` for random ones) and ``sensitivity`` (0..1).
    ``engine_args`` are the options of Lightning's ``Trainer``, and beside them ``threshold_source``: ``"auto"``,
    ``"val"``, ``"synthetic"`` (made-up defects on normal validation images) or ``"test"``.
    """

    spec = SPEC
    framework_class = AnomalibFramework
