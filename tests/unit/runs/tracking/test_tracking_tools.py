"""The tools themselves: what a run logs can be read back from each."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.runs.record import read_record
from drivetrain.testing.contract.spy import Spy
from drivetrain.testing.data import class_folders
from drivetrain.testing.toy import ToyEngine

assert ToyEngine.spec.name == "toy"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("data") / "toys")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb"))


def trained(toys: Path, work: Path, spy: type[Spy] = Spy, **options: Any) -> tuple[Any, Spy]:
    engine = Engine("toy:linear", toys, work_dir=work, engine="toy")
    engine.progress = progress = spy(engine)
    return engine.train(**{"max_epochs": 3, **options}), progress


def exported(work: Path) -> Spy:
    """Export from a run, as another process would later; returns the notes."""
    engine = Engine(work, engine="toy")
    engine.progress = spy = Spy(engine)
    engine.export(overwrite=True)
    return spy


def event_values(folder: Path) -> list[tuple[int, Any]]:
    """(step, value) of everything in the event files: records of a length, its checksum, the data, their checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            found += [(event.step, value) for value in event.summary.value]
            at += 16 + length
    return found


def test_tensorboard(toys: Path, tmp_path: Path) -> None:
    result, _ = trained(toys, tmp_path / "w", logger="tensorboard")
    values = event_values(tmp_path / "w" / "tracking" / "tensorboard")
    scalars = [(step, row.tag, row.simple_value) for step, row in values if row.HasField("simple_value")]
    assert {name for _, name, _ in scalars} == set(result.history[0].metrics)
    for name in result.history[0].metrics:
        expected = [(row.epoch, pytest.approx(row.metrics[name], rel=1e-6)) for row in result.history]
        assert [(step, value) for step, tag, value in scalars if tag == name] == expected
    assert any(row.tag.startswith("tracking/pictures/") for _, row in values if row.HasField("image"))
    assert any(row.tag.startswith("files/checkpoints/last.npz") for _, row in values)
    exported(tmp_path / "w")
    values = event_values(tmp_path / "w" / "tracking" / "tensorboard")
    assert [row for _, row in values if row.tag.startswith("files/artifacts/openvino-fp32/") and ".xml" in row.tag]


@pytest.mark.slow
def test_wandb_offline(toys: Path, tmp_path: Path) -> None:
    result, spy = trained(toys, tmp_path / "w", logger="wandb")
    assert not [note for note in spy.notes if "is not responding" in note]
    folder = Path(read_record(tmp_path / "w")["tracking"]["wandb"]["folder"])
    assert folder.is_relative_to(tmp_path / "w" / "tracking" / "wandb")
    content = next(folder.parent.glob("*.wandb")).read_bytes()
    for name in result.history[0].metrics:
        assert name.encode() in content
    assert (folder / "checkpoints" / "last.npz").is_file()
    assert (folder / "run" / "report.html").is_file()
    assert list((folder / "media" / "images").rglob("*.png")) or list((folder / "media" / "images").rglob("*.jpg"))


def history_of(client: Any, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((row.step, row.value) for row in client.get_metric_history(run_id, name))


def artefacts_of(client: Any, run_id: str, folder: str = "") -> set[str]:
    found: set[str] = set()
    for item in client.list_artifacts(run_id, folder or None):
        found |= artefacts_of(client, run_id, item.path) if item.is_dir else {item.path}
    return found


@pytest.mark.slow
def test_mlflow_without_a_server(toys: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    result, spy = trained(toys, tmp_path / "w", logger="mlflow", max_epochs=2)
    trained(toys, tmp_path / "w", logger="mlflow", max_epochs=3, resume=True)
    assert not [note for note in spy.notes if "is not responding" in note]
    place = read_record(tmp_path / "w")["tracking"]["mlflow"]
    assert place["uri"].startswith(f"sqlite:///{tmp_path}")
    client = MlflowClient(tracking_uri=place["uri"])
    assert [step for step, _ in history_of(client, place["run_id"], next(iter(result.history[0].metrics)))] == [0, 1, 2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An MLflow server on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = tmp_path / "server"
    root.mkdir()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{root / 'runs.db'}", "--artifacts-destination", str(root / "files")),
    ]
    with (root / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while not answers(address):
            assert process.poll() is None, (root / "log.txt").read_text()
            assert time.monotonic() < end, (root / "log.txt").read_text()
            time.sleep(0.5)
        yield address, process
    finally:
        stop(process)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and the workers that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(timeout=30)


@pytest.mark.slow
def test_mlflow_server(server, toys: Path, tmp_path: Path, monkeypatch) -> None:
    from mlflow import MlflowClient

    address, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    result, spy = trained(toys, tmp_path / "w", logger=["csv", "mlflow"])
    assert not [note for note in spy.notes if "is not responding" in note]
    place = read_record(tmp_path / "w")["tracking"]["mlflow"]
    assert place["uri"] == address
    client = MlflowClient(tracking_uri=address)
    run = client.get_run(place["run_id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "w")
    assert run.data.params["engine"] == "toy"
    assert run.data.params["options.seed"] == "0"
    for name in result.history[0].metrics:
        expected = [(row.epoch, pytest.approx(row.metrics[name])) for row in result.history]
        assert history_of(client, place["run_id"], name) == expected
    artefacts = artefacts_of(client, place["run_id"])
    assert {"run/run.json", "run/report.html", "checkpoints/last.npz"} <= artefacts
    assert any(path.startswith("pictures/tracking/pictures/") for path in artefacts)
    exported(tmp_path / "w")
    assert any(path.startswith("artifacts/openvino-fp32/") for path in artefacts_of(client, place["run_id"]))
    assert client.get_run(place["run_id"]).info.status == "FINISHED"

    class Stopper(Spy):
        """Stops the server after the first epoch."""

        def epoch_end(self, record: Any) -> None:
            super().epoch_end(record)
            if record.epoch == 1:
                stop(process)

    begin = time.monotonic()
    result, spy = trained(toys, tmp_path / "w2", Stopper, logger="mlflow")
    assert time.monotonic() - begin < 60
    assert [row.epoch for row in result.history] == [0, 1, 2]
    assert len([note for note in spy.notes if "mlflow is not responding" in note]) == 1
    begin = time.monotonic()
    result, spy = trained(toys, tmp_path / "w3", logger="mlflow")
    assert time.monotonic() - begin < 60
    assert len([note for note in spy.notes if "mlflow is not responding" in note]) == 1
    assert read_record(tmp_path / "w3")["status"] == "finished"
    told = exported(tmp_path / "w").notes
    assert len([note for note in told if "mlflow is not responding" in note]) == 1, "the export is not stopped either"
