"""Training classification networks, and any LightningModule, with Lightning's own trainer."""

from __future__ import annotations

from drivetrain.engine import Engine
from drivetrain.engines.lightning import SPEC
from drivetrain.engines.lightning.framework import LightningFramework


class LightningEngine(Engine):
    """Classification with timm and torchvision networks, and any LightningModule with its own data."""

    spec = SPEC
    framework_class = LightningFramework
