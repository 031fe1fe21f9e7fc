"""The Lightning engine keeps the contract, with a small network of timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from expected_failures import expected

from drivetrain.engine import Engine
from drivetrain.engines.lightning import SPEC
from drivetrain.testing import EngineContract
from drivetrain.types import TrainResult


@pytest.mark.slow
class TestLightning(EngineContract):
    spec = SPEC
    model_name = "timm:mobilenetv3_small_050"
    model_args: ClassVar = {"pretrained": False}
    options: ClassVar = {"image_size": 32, "batch_size": 8, "num_workers": 0}
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("lightning")
    seen: ClassVar[dict[str, Any]] = {}

    def make_model(self) -> Any:
        import timm

        return timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=3)

    @classmethod
    def train(cls, engine: Engine, **changes: Any) -> TrainResult:
        if "callbacks" not in changes:
            changes["callbacks"] = [_watch(cls.seen)]
        return super().train(engine, **changes)

    def effective_options(self, engine: Engine) -> Mapping[str, Any]:
        return self.seen


def _watch(seen: dict[str, Any]) -> Any:
    """A callback of Lightning that notes what the trainer works with."""
    from lightning.pytorch.callbacks import Callback

    class Watch(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            seen.update(
                max_epochs=trainer.max_epochs,
                accumulate_grad_batches=trainer.accumulate_grad_batches,
                batch_size=trainer.train_dataloader.batch_sampler.batch_size,
                learning_rate=max(group["initial_lr"] for group in trainer.optimizers[0].param_groups),
            )

    return Watch()
