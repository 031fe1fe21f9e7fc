"""Two processes on the CPU train what one would, only the first writes, and the run survives the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.resources import core_count
from drivetrain.testing.data import class_folders, coco

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(core_count() < 2, reason="two processes need two cores"),
]
VIT, SSD = "timm:test_vit", "torchvision:ssdlite320_mobilenet_v3_large"
WITNESS = """
import hashlib, os
from pathlib import Path
from lightning.pytorch.callbacks import Callback
class Witness(Callback):
    def __init__(self, folder):
        self.folder = folder
    def on_train_end(self, trainer, pl_module):
        digest = hashlib.sha256()
        for name, value in pl_module.named_parameters():
            digest.update(value.detach().numpy().tobytes())
        Path(self.folder, os.environ.get("RANK", "0")).write_text(digest.hexdigest())
"""


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a digest of the trained weights of each rank into ``tmp_path / "seen"``."""
    (tmp_path / "ranks_witness.py").write_text(WITNESS, encoding="utf-8")
    (tmp_path / "seen").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    import ranks_witness  # type: ignore[import-not-found]  # written above

    yield ranks_witness.Witness(str(tmp_path / "seen"))
    del sys.modules["ranks_witness"]


def weights(path: Path | None) -> dict[str, Any]:
    assert path is not None
    state: dict[str, Any] = torch.load(path, weights_only=False)["state_dict"]
    return state


def test_two_processes_train_what_one_does(tmp_path: Path, witness: Any) -> None:
    data = class_folders(tmp_path / "data", subsets={"train": 16, "val": 7, "test": 6})
    asked: dict[str, Any] = {"max_epochs": 3, "batch_size": 8, "image_size": 64, "seed": 1}
    alone = Engine(VIT, data, work_dir=tmp_path / "one", device="cpu").train(**asked)
    engine = Engine(VIT, data, work_dir=tmp_path / "two", device="cpu")
    both = engine.train(**asked, devices=2, callbacks=[witness])
    for name in ("val/accuracy", "val/f1"):
        assert both.metrics[name] == pytest.approx(alone.metrics[name], abs=1e-3)
    assert [row.metrics["train/loss"] for row in both.history] == pytest.approx(
        [row.metrics["train/loss"] for row in alone.history], abs=1e-3
    )
    one, two = weights(alone.last_checkpoint), weights(both.last_checkpoint)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3
    seen = [(tmp_path / "seen" / rank).read_text() for rank in "01"]
    assert seen[0] == seen[1], "bit-equal weights in both ranks"
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (record["status"], len(record["parts"])) == ("finished", 1)
    assert (record["effective_options"]["devices"], record["effective_options"]["batch_size"]) == (2, 8)
    written = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == written - {"config.yaml"}, "callbacks have no config"
    assert engine.test()["accuracy"] == pytest.approx(
        Engine(tmp_path / "one", device="cpu").test()["accuracy"], abs=1e-3
    ), "the engine has the trained weights"
    again = Engine(tmp_path / "two", device="cpu", work_dir=tmp_path / "two").train(
        max_epochs=4, resume=True, devices=1
    )
    assert len(again.history) == 4
    assert "devices is 1 from now on; the run was started with 2." in again.notes


def test_a_detector_has_the_same_weights_in_both_ranks(tmp_path: Path, witness: Any) -> None:
    data = coco(tmp_path / "data", subsets={"train": 8, "val": 3, "test": 2})
    engine = Engine(SSD, data, work_dir=tmp_path / "run", device="cpu")
    result = engine.train(1, batch_size=4, image_size=64, devices=2, callbacks=[witness])
    assert 0 <= result.metrics["val/map"] <= 1
    assert len({(tmp_path / "seen" / rank).read_text() for rank in "01"}) == 1
    assert len(engine.predict(data / "test" if (data / "test").is_dir() else data)) > 0


def test_torchrun_starts_the_ranks_and_only_the_first_speaks(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "data", subsets={"train": 8, "val": 5, "test": 2})
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    words = ["-m", "drivetrain", "train", "--model", VIT, "--data", str(data), "--max_epochs", "1", "--device", "cpu"]
    more = ["--image_size", "64", "--batch_size", "4", "--work_dir", str(tmp_path / "run"), "--json"]
    done = subprocess.run([*launcher, *words, *more], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["work_dir"] == str(tmp_path / "run")
    assert done.stderr.count("epoch 1/1") == 1
    assert "warning" not in done.stderr


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A long training on two devices, which has saved its first epoch."""
    data = class_folders(tmp_path / "data", subsets={"train": 8, "val": 3, "test": 2})
    words = [
        "-m",
        "drivetrain",
        "train",
        "--model",
        VIT,
        "--data",
        str(data),
        "--max_epochs",
        "5000",
        "--device",
        "cpu",
    ]
    more = ["--image_size", "64", "--batch_size", "4", "--work_dir", str(tmp_path / "run"), "--devices", "2"]
    process = subprocess.Popen([sys.executable, *words, *more], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "run" / "metrics.csv").is_file():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        yield process
    finally:
        for pid in ranks_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def ranks_of(parent: int) -> list[int]:
    """The processes that a training started, by their ranks."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                found[next(int(item[5:]) for item in variables if item.startswith("RANK="))] = int(entry.name)
    return [found[rank] for rank in sorted(found)]


def test_a_killed_rank_ends_the_run_which_goes_on_with_fewer(training: subprocess.Popen[str], tmp_path: Path) -> None:
    ranks = ranks_of(training.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 1
    assert f"drivetrain: Rank 1 of 2 on {os.uname().nodename} failed: its process {ranks[1]} was killed" in said
    assert said.rstrip().endswith(f"To continue: drivetrain train --work_dir {tmp_path / 'run'} --resume")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed"
    assert "rank 0 of 2 has lost the other ranks" in record["error"]
    epochs = len((tmp_path / "run" / "metrics.csv").read_text().splitlines())
    engine = Engine(tmp_path / "run", work_dir=tmp_path / "run", device="cpu")
    assert len(engine.train(max_epochs=epochs + 1, resume=True, devices=1).history) == epochs + 1
    assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]


def test_a_stopped_training_saves_and_ends_every_rank(training: subprocess.Popen[str], tmp_path: Path) -> None:
    ranks = ranks_of(training.pid)
    training.send_signal(signal.SIGTERM)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 143, said
    assert "Training was stopped after epoch" in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]


def test_what_several_devices_cannot_honour_is_refused(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "data")
    engine = Engine(VIT, data, work_dir=tmp_path / "run", device="cpu")
    most = core_count()
    for options, kind, message in (
        (
            {"devices": most + 1},
            OptionError,
            rf"devices={most + 1}: this machine has {most} cores. Give at most {most}",
        ),
        ({"devices": [0, 1]}, OptionError, "the cores of the CPU have no numbers"),
        (
            {"devices": 2, "batch_size": 7},
            OptionError,
            "batch_size=7 is the number of images per step over all devices",
        ),
        ({"devices": 2, "adaptive_bs": "safe"}, UnsupportedOptionError, "adaptive_bs='safe' cannot be honoured on 2"),
        ({"devices": 2, "run_hpo": True}, UnsupportedOptionError, "run_hpo=True cannot be honoured on 2 devices"),
        ({"devices": 1, "engine_args": {"num_nodes": 2}}, UnsupportedOptionError, r"num_nodes is set by train\(nodes"),
    ):
        with pytest.raises(kind, match=message):
            engine.train(1, **options)
    with pytest.raises(UnsupportedOptionError, match="devices=2 cannot be honoured by a search"):
        engine.tune(1, devices=2, trials=1)
    assert not (tmp_path / "run").exists()
