"""Training that is killed or stopped resumes as if nothing had happened."""

# ruff: noqa: TID253  (tests of this framework)
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow

SCRIPT = """
import sys, time
from drivetrain import Engine
from drivetrain.errors import TrainingInterrupted

data, work_dir, epochs, resume, pause = sys.argv[1:6]

import lightning.pytorch as L

class Slow(L.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        print("epoch", trainer.current_epoch, flush=True)
        time.sleep(float(pause))

engine = Engine("timm:test_resnet", data, work_dir=work_dir, device="cpu", model_args={"drop_rate": 0.2})
try:
    engine.train(int(epochs), image_size=32, batch_size=8, seed=3, deterministic=True, resume=resume == "yes",
                 callbacks=[Slow()], num_workers=2)
except TrainingInterrupted as error:
    print(error, file=sys.stderr)
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for name, colour in {"red": (200, 30, 30), "green": (30, 200, 30)}.items():
        (root / name).mkdir()
        for number in range(16):
            pixels = np.clip(np.array(colour) + random.integers(-40, 40, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def start(
    folder: Path, work_dir: Path, *, epochs: int, resume: bool = False, pause: float = 0
) -> subprocess.Popen[str]:
    arguments = [str(folder), str(work_dir), str(epochs), "yes" if resume else "no", str(pause)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=work_dir.parent,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for text in process.stdout:
        if text.strip() == line:
            return
    assert process.stderr is not None
    pytest.fail(process.stderr.read())


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(work_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert list(first) == list(second)
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp("whole") / "run"
    finish(start(folder, work_dir, epochs=5))
    return work_dir


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_training_resumes_to_the_very_same_weights(
    folder: Path, uninterrupted: Path, tmp_path: Path, epoch: int
) -> None:
    work_dir = tmp_path / "run"
    process = start(folder, work_dir, epochs=5, pause=0.3)
    wait_for(process, f"epoch {epoch}")
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert json.loads((work_dir / "run.json").read_text())["status"] == "running"

    finish(start(folder, work_dir, epochs=5, resume=True))

    assert json.loads((work_dir / "run.json").read_text())["status"] == "finished"
    assert_same_weights(work_dir, uninterrupted)
    assert (work_dir / "metrics.csv").read_text() == (uninterrupted / "metrics.csv").read_text()
    assert not list((work_dir / "checkpoints").glob("*.part"))


def test_ctrl_c_saves_the_last_state_and_resume_goes_on(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    process = start(folder, work_dir, epochs=5, pause=0.3)
    wait_for(process, "epoch 1")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the last state is in" in errors
    assert "resume=True" in errors
    assert json.loads((work_dir / "run.json").read_text())["status"] == "interrupted"
    assert torch.load(work_dir / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0

    finish(start(folder, work_dir, epochs=5, resume=True))

    assert_same_weights(work_dir, uninterrupted)


def test_nothing_is_written_beside_the_work_dir(uninterrupted: Path) -> None:
    assert [path.name for path in uninterrupted.parent.iterdir()] == ["run"]
    assert {path.name for path in uninterrupted.iterdir()} <= {
        ".lock",
        "run.json",
        "validation.json",
        "metrics.csv",
        "checkpoints",
        "report.html",
    }
    assert {path.name for path in (uninterrupted / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
