"""The toy engine with epochs that all cost the same, as if they were a training; for ``tuning.py``.

It is a module of its own, so that worker processes can import it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from drivetrain.models.registry import register_engine
from drivetrain.testing import toy

SPEC = replace(toy.SPEC, name="costly", class_path="costly_toy:Costly", claims=("costly_toy:CostlyModel",), sources=())


class CostlyModel(toy.ToyModel):
    """The toy model, under a name of its own."""


class CostlyFramework(toy.ToyFramework):
    """Every epoch takes ``EPOCH_SECONDS`` of the environment longer."""

    def _validate(self, *arguments: Any) -> dict[str, float]:
        time.sleep(float(os.environ["EPOCH_SECONDS"]))
        return super()._validate(*arguments)


@register_engine(SPEC)
class Costly(toy.ToyEngine):
    """The toy engine, only slower."""

    spec = SPEC
    framework_class = CostlyFramework
