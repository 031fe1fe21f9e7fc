"""Anomalib training that runs out of memory continues with smaller steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")
pytestmark = pytest.mark.slow


def test_anomalib_goes_on_with_half_the_batch(tmp_path: Path) -> None:
    import torch
    from lightning.pytorch.callbacks import Callback

    class Full(Callback):
        """Runs out of memory in the first step of the second epoch, once, and records the batches."""

        happened = False
        seen: tuple[int, int, int] | None = None

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if trainer.current_epoch == 1 and not self.happened:
                self.happened = True
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            self.seen = (len(batch.image), trainer.accumulate_grad_batches, len(trainer.loggers))

    folder = mvtec(tmp_path / "data" / "bottle", train=16, test=4, size=64)
    args = {"pretrained": False, "layers": ["layer1"]}
    engine = Engine("Stfpm", folder, work_dir=tmp_path / "work", device="cpu", model_args=args)
    engine.progress = SilentProgress()
    full = Full()
    result = engine.train(2, batch_size=4, image_size=64, num_workers=0, adaptive_bs="safe", callbacks=[full])
    assert [row.epoch for row in result.history] == [0, 1]
    assert result.notes[-1] == (
        "Memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB). Training continues from the last state, "
        "after epoch 1, with batch_size=2 instead of 4 and the gradients of 2 steps accumulated."
    )
    used = read_record(tmp_path / "work")["effective_options"]
    assert (used["batch_size"], used["accumulate_grad_batches"]) == (2, 2)
    assert full.seen == (2, 2, 0), "logger=None keeps Lightning and Anomalib from choosing a logger by themselves"
