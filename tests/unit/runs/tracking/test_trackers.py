"""Trackers are chosen by name, receive what the run receives, and never stop it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.errors import MissingDependencyError, OptionError
from drivetrain.runs.record import read_record
from drivetrain.runs.tracking import TRACKERS, framework_loggers, names, open_trackers
from drivetrain.testing.contract.spy import Spy, SpyTracker
from drivetrain.testing.data import class_folders
from drivetrain.testing.toy import ToyEngine, ToyFramework

assert ToyEngine.spec.name == "toy"


class Flaky(SpyTracker):
    """Fails in the second epoch."""

    name = "flaky"

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 1:
            raise ConnectionError("the server\nwent away")
        super().log_epoch(epoch, metrics)


class Down(SpyTracker):
    """Never answers."""

    name = "down"

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        raise ConnectionError("connection refused")


@pytest.fixture
def trackers(monkeypatch) -> None:
    for cls in (SpyTracker, Flaky, Down):
        monkeypatch.setitem(TRACKERS, cls.name, (f"{cls.__module__}:{cls.__name__}", "drivetrain", "x"))
    made = {f"{cls.__module__}:{cls.__name__}": cls for cls in (SpyTracker, Flaky, Down)}
    monkeypatch.setattr(names, "import_object", made.__getitem__)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("data") / "toys")


def trained(toys: Path, work: Path, **options: Any) -> tuple[Engine, Spy]:
    engine = Engine("toy:linear", toys, work_dir=work, engine="toy")
    engine.progress = spy = Spy(engine)
    engine.train(**{"max_epochs": 3, **options})
    return engine, spy


def test_a_server_that_is_down_is_one_note(trackers, toys: Path, tmp_path: Path) -> None:
    engine, spy = trained(toys, tmp_path / "w", logger=["down", "flaky", "spy"])
    complaints = [note for note in spy.notes if "is not responding" in note]
    assert complaints == [
        "down is not responding (connection refused), so the run continues without it. "
        "metrics.csv in the work dir has everything.",
        "flaky is not responding (the server), so the run continues without it. "
        "metrics.csv in the work dir has everything.",
    ]
    record = read_record(engine.work_dir)
    assert record["status"] == "finished"
    assert set(complaints) <= set(record["notes"])
    assert set(record["tracking"]) == {"flaky", "spy"}
    assert list(SpyTracker.last.epochs) == [0, 1, 2]


def test_a_resumed_run_goes_on_at_the_same_place(trackers, toys: Path, tmp_path: Path) -> None:
    trained(toys, tmp_path / "w", logger="spy")
    assert SpyTracker.last.record["before"] == {}
    trained(toys, tmp_path / "w", logger="spy", resume=True, max_epochs=5)
    assert SpyTracker.last.record["before"] == {"where": str(tmp_path / "w")}
    assert list(SpyTracker.last.epochs) == [3, 4]


def test_a_failed_run_is_closed_as_such(trackers, toys: Path, tmp_path: Path, monkeypatch) -> None:
    def fail(self, options, run, *, resume):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(ToyFramework, "fit", fail)
    with pytest.raises(RuntimeError):
        trained(toys, tmp_path / "w", logger="spy")
    assert SpyTracker.last.status == "failed"
    assert "run/run.json" in SpyTracker.last.files


def test_names_are_saved_in_the_config(trackers, toys: Path, tmp_path: Path) -> None:
    import yaml

    trained(toys, tmp_path / "w", logger=["csv", "spy"])
    assert yaml.safe_load((tmp_path / "w" / "config.yaml").read_text())["logger"] == ["csv", "spy"]
    assert json.loads((tmp_path / "w" / "run.json").read_text())["options"]["logger"] == ["csv", "spy"]


def test_names_and_objects_are_told_apart() -> None:
    mine = object()
    assert framework_loggers(None) is None
    assert framework_loggers(False) is None
    assert framework_loggers("csv") is None
    assert framework_loggers(["csv", "mlflow"]) is None
    assert framework_loggers(mine) is mine
    assert framework_loggers(["csv", mine]) == [mine]
    assert not open_trackers("csv")
    assert not open_trackers(mine)


def test_slips(toys: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(OptionError, match=r"logger='mlflaw' is not allowed. Did you mean 'mlflow'\? Allowed: csv, ten"):
        trained(toys, tmp_path / "w", logger="mlflaw")
    monkeypatch.setattr(names, "is_installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=r'pip install "drivetrain\[wandb\]"'):
        trained(toys, tmp_path / "w", logger="wandb")
    assert not (tmp_path / "w").exists()
