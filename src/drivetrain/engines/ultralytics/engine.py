"""Ultralytics' models behind the common verbs, trained by Ultralytics' own trainers."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.ultralytics import SPEC
from drivetrain.engines.ultralytics.framework import UltralyticsFramework


class UltralyticsEngine(Engine):
    """Trains and runs YOLO and RT-DETR models through Ultralytics' own trainers.

    ``model_args`` of a model given by name: ``pretrained``, a local ``.pt`` to load weights from. ``engine_args`` are
    Ultralytics' own options (``mosaic``, ``optimizer``, ``cache``, ...). ``callbacks`` is a mapping of Ultralytics' own
    events to functions.
    """

    spec = SPEC
    framework_class = UltralyticsFramework
