"""A training of Lightning whose memory runs out in the middle goes on with smaller steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.progress import SilentProgress
from drivetrain.run import read_record
from drivetrain.testing import data

pytestmark = pytest.mark.slow


def test_lightning_goes_on_with_half_the_batch(tmp_path: Path) -> None:
    import torch
    from lightning.pytorch.callbacks import Callback

    class Full(Callback):
        """Runs out of memory in the second step of the second epoch, once."""

        happened = False

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if (trainer.current_epoch, batch_idx) == (1, 1) and not self.happened:
                self.happened = True
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    folder = data.class_folders(tmp_path / "toys")
    engine = Engine("timm:test_resnet", folder, work_dir=tmp_path / "work", device="cpu")
    engine.progress = SilentProgress()
    result = engine.train(3, batch_size=12, image_size=32, num_workers=0, adaptive_bs="safe", callbacks=[Full()])
    assert [row.epoch for row in result.history] == [0, 1, 2]
    assert result.notes[-1] == (
        "Memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB). The training goes on from the last state, "
        "after epoch 1, with batch_size=6 instead of 12 and the gradients of 2 steps accumulated."
    )
    used = read_record(tmp_path / "work")["effective_options"]
    assert (used["batch_size"], used["accumulate_grad_batches"]) == (6, 2)


def test_without_adaptive_bs_the_error_is_the_upstreams(tmp_path: Path) -> None:
    import torch
    from lightning.pytorch.callbacks import Callback

    class Full(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    folder = data.class_folders(tmp_path / "toys")
    engine = Engine("timm:test_resnet", folder, work_dir=tmp_path / "work", device="cpu")
    engine.progress = SilentProgress()
    with pytest.raises(torch.OutOfMemoryError):
        engine.train(1, batch_size=12, image_size=32, num_workers=0, callbacks=[Full()])
