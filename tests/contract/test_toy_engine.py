"""The toy engine passes the contract."""

from __future__ import annotations

from typing import Any

import pytest
from expected_failures import expected

from drivetrain.testing import EngineContract, toy
from drivetrain.testing.contract.failing import FailingDiskChecks


class TestToy(EngineContract):
    spec = toy.SPEC
    model_name = "toy:linear"
    engine_arg = ("momentum", 0.5)
    module = "drivetrain.testing.toy"
    expected_failures = expected("toy")

    def make_model(self) -> Any:
        return toy.ToyModel()


@pytest.mark.slow
class TestEveryFaultOfTheToy(FailingDiskChecks):
    spec = toy.SPEC
    model_name = "toy:linear"
    every_fault = True
