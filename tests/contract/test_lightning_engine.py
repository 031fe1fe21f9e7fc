"""The Lightning engine keeps the contract, with a small network of timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from expected_failures import expected

from drivetrain.engine import Engine
from drivetrain.engines.lightning import SPEC
from drivetrain.testing import EngineContract


@pytest.mark.slow
class TestLightning(EngineContract):
    spec = SPEC
    model_name = "timm:mobilenetv3_small_050"
    model_args = {"pretrained": False}  # noqa: RUF012  (not changed)
    options = {"image_size": 32, "batch_size": 8, "num_workers": 0}  # noqa: RUF012  (not changed)
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("lightning")

    def make_model(self) -> Any:
        import timm

        return timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=3)

    def effective_options(self, engine: Engine) -> Mapping[str, Any]:
        trainer = engine.model.trainer
        return {
            "max_epochs": trainer.max_epochs,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "batch_size": trainer.train_dataloader.batch_sampler.batch_size,
            "learning_rate": max(group["initial_lr"] for group in trainer.optimizers[0].param_groups),
        }
