"""The toy engine with epochs of equal, realistic duration; used by ``tuning.py``.

It is a separate module so that worker processes can import it.
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
    """The toy model under a different name."""


class CostlyFramework(toy.ToyFramework):
    """Makes every epoch longer by the environment variable ``EPOCH_SECONDS``."""

    def _validate(self, *arguments: Any) -> dict[str, float]:
        time.sleep(float(os.environ["EPOCH_SECONDS"]))
        return super()._validate(*arguments)


@register_engine(SPEC)
class Costly(toy.ToyEngine):
    """The toy engine, only slower."""

    spec = SPEC
    framework_class = CostlyFramework
