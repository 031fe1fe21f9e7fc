"""The command as a process: start-up, signals, closed pipes, and standard output with only the result."""

from __future__ import annotations

import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ENGINE = '''
import contextlib, json, os, subprocess, sys, time
import numpy as np
from drivetrain.models import registry
from drivetrain.engine import Engine, FitResult, Framework
from drivetrain.models.registry import register_engine
from drivetrain.models.spec import EngineSpec
from drivetrain.types import Prediction

registry._from_packages = {}
SPEC = EngineSpec(name="noisy", class_path="noisy:NoisyEngine", install="", claims=("noisy:Model",))

class Model:
    """A model."""

class NoisyFramework(Framework):
    model = "noisy"

    def build(self, options=None):
        pass

    def fit(self, options, run, *, resume):
        print("noise from Python")
        with contextlib.suppress(BrokenPipeError):
            os.write(1, b"noise from C\\n")
        subprocess.run(["echo", "noise from a child"], check=False)
        (run.checkpoints / "last.json").write_text("{}")
        while os.environ.get("WAIT"):
            time.sleep(0.05)
        for epoch in range(options.max_epochs or 1):
            run.log_epoch(epoch, {"val/accuracy": 0.5})
        return FitResult(None, run.checkpoints / "last.json")

    def infer(self, images, *, batch_size, confidence):
        for path, image in images:
            yield Prediction(path, image.shape[:2], labels=np.array([0]))

@register_engine(SPEC)
class NoisyEngine(Engine):
    spec = SPEC
    framework_class = NoisyFramework
'''
START = "import sys, noisy; from drivetrain.cli.main import main; sys.exit(main())"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "noisy.py").write_text(ENGINE)
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / "data" / name / f"{number}.png")
    training = ("train", "--model", "noisy.Model", "--data", str(tmp_path / "data"), "--work_dir", str(tmp_path / "w"))
    return [sys.executable, "-c", START, *training]


def environment(folder: Path, **more: str) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, "DRIVETRAIN_CACHE": str(folder / "cache"), **more}


def test_json_is_all_that_reaches_the_standard_output(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*words, "--json"], env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"] == {"val/accuracy": 0.5}
    for source in ("Python", "C", "a child"):
        assert f"noise from {source}" in done.stderr


def test_ctrl_c_closes_the_run_and_is_code_130(words: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(words, env=environment(tmp_path, WAIT="1"), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 180
    while not (tmp_path / "w" / "checkpoints" / "last.json").is_file():
        assert time.monotonic() < end
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    assert (tmp_path / "w" / "config.yaml").is_file()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Training was stopped" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "w" / "run.json").read_text())["status"] == "interrupted"


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        command = [sys.executable, "-m", "drivetrain", "train", "--help"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2>&1 | true"])
def test_a_training_that_nobody_follows_is_done_all_the_same(words: list[str], closed: str, tmp_path: Path) -> None:
    line = f"set -o pipefail; {shlex.join([*words, '--max_epochs', '3'])} {closed}"
    done = subprocess.run(["bash", "-c", line], env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "w" / "run.json").read_text())
    assert record["status"] == "finished"
    assert len((tmp_path / "w" / "metrics.csv").read_text().splitlines()) == 4
    assert "epoch" not in (tmp_path / "w" / ".lock").read_text(), "no file of the run has taken a stream's place"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["info", "--help"]], ids=" ".join)
def test_help_is_there_at_once_and_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from drivetrain.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'anomalib', 'ultralytics', 'openvino', 'cv2', 'numpy', 'rich', 'pyarrow', "
        "'jsonargparse'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], env=environment(tmp_path), capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 2.0, "a loaded machine is given five times the 0.4 s that help may take"
