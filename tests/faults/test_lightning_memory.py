"""Lightning training that runs out of memory continues with smaller steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import OutOfMemoryError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data

pytestmark = pytest.mark.slow

#: The address space is limited after the first epoch, so that the next one needs more than is available.
LIMITED = """
import json, resource, sys
from drivetrain import Engine
from drivetrain.runs.progress import SilentProgress

def address_space():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmSize"))
    return int(line.split()[1]) // 1024

class Limits(SilentProgress):
    sizes, notes = [], []

    def epoch_end(self, record):
        self.sizes.append(address_space())
        if record.epoch == 0:
            soft = (self.sizes[0] + 350) * 2**20  # an epoch takes 480 MB, half the batch 240
            resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))

    def note(self, text):
        if text.startswith("Memory ran out"):
            self.sizes.append(address_space())

engine = Engine("timm:test_resnet", sys.argv[1], work_dir=sys.argv[2], device="cpu")
engine.progress = progress = Limits()
result = engine.train(3, batch_size=32, image_size=256, num_workers=0, adaptive_bs="safe")
print(json.dumps({"sizes": progress.sizes, "notes": result.notes, "epochs": [row.epoch for row in result.history]}))
"""


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
        "Memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB). Training continues from the last state, "
        "after epoch 1, with batch_size=6 instead of 12 and the gradients of 2 steps accumulated."
    )
    used = read_record(tmp_path / "work")["effective_options"]
    assert (used["batch_size"], used["accumulate_grad_batches"]) == (6, 2)


def test_without_adaptive_bs_the_error_says_what_to_do(tmp_path: Path) -> None:
    import torch
    from lightning.pytorch.callbacks import Callback

    class Full(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    folder = data.class_folders(tmp_path / "toys")
    engine = Engine("timm:test_resnet", folder, work_dir=tmp_path / "work", device="cpu")
    engine.progress = SilentProgress()
    with pytest.raises(OutOfMemoryError, match=r"Memory ran out in train: CUDA out of memory\. Give a smaller batch"):
        engine.train(1, batch_size=12, image_size=32, num_workers=0, callbacks=[Full()])


def test_the_limit_of_ulimit_halves_the_batch_and_nothing_of_the_broken_training_is_kept(tmp_path: Path) -> None:
    folder = data.class_folders(tmp_path / "toys", subsets={"train": 24, "val": 6, "test": 6})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    environment["MALLOC_MMAP_THRESHOLD_"] = "65536"  # freed memory is given back, so that each epoch has to ask for it
    command = [sys.executable, "-c", LIMITED, str(folder), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["epochs"] == [0, 1, 2]
    assert "can't allocate memory" in told["notes"][-1]
    assert "from the last state, after epoch 1, with batch_size=16 instead of 32" in told["notes"][-1]
    before, after = told["sizes"][:2]
    assert after - before < 200, "MB that the broken training still holds"
