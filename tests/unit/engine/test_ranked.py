"""What ranks agree on before they train, with a group that needs no other process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivetrain._version import __version__
from drivetrain.engine import Engine
from drivetrain.engine.ranked import placed, train_in_rank
from drivetrain.errors import DrivetrainError, OptionError, UnsupportedError, UnsupportedOptionError, WorkDirError
from drivetrain.launch.ranks import Ranks
from drivetrain.runs.following import FollowingRun
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.run import Run
from drivetrain.types.options import TrainOptions
from drivetrain.types.results import EpochRecord

FIRST = Ranks(rank=0, size=2, local_rank=0, local_size=1)
SECOND = Ranks(rank=1, size=2, local_rank=0, local_size=1)


@dataclass
class Pair:
    """Two ranks, of which the other one says what the test wants."""

    ranks: Ranks
    change: Callable[[Any], Any]

    def share(self, make: Callable[[], Any] | None) -> Any:
        assert make is not None
        return make()

    def gather(self, value: Any) -> list[Any]:
        return [value, self.change(value)]


def start(tmp_path: Path, change: Callable[[Any], Any]) -> Any:
    group = Pair(FIRST, change)
    engine: Any = SimpleNamespace(framework=SimpleNamespace(join=lambda _: nullcontext(group)))
    return train_in_rank(
        engine, FIRST, lambda: Run.open(tmp_path / "run", SilentProgress()), lambda run: run.close("x")
    )


def test_another_version_on_a_node_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DrivetrainError, match=rf"Rank 1 on there runs drivetrain 9\.9, but .* runs {__version__}\."):
        start(tmp_path, lambda value: ("9.9", "there") if value[0] == __version__ else value)
    assert not (tmp_path / "run").exists()


def test_a_work_dir_that_a_node_does_not_see_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WorkDirError, match=r"run': rank 1 on there does not see .* storage that all of them share"):
        start(tmp_path, lambda value: value if value[0] == __version__ else ("", "there"))
    assert not (tmp_path / "run").exists(), "a run that never began leaves no trace"


def test_devices_and_nodes_come_from_the_launcher() -> None:
    options = placed(TrainOptions(batch_size=4), {"batch_size": 4}, Ranks(0, 6, 0, 3))
    assert (options.devices, options.nodes, options.batch_size) == (3, 2, 4)
    assert placed(TrainOptions(devices=[4, 5, 6]), {"devices": [4, 5, 6]}, Ranks(0, 3, 0, 3)).devices == [4, 5, 6]
    with pytest.raises(
        OptionError, match="devices=2 contradicts the launcher of this process, which started 3 on each of 2"
    ):
        placed(TrainOptions(devices=2), {"devices": 2}, Ranks(0, 6, 0, 3))


def test_a_following_run_writes_nothing(tmp_path: Path) -> None:
    run = FollowingRun(tmp_path / "run", {"status": "running"}, [EpochRecord(0, {"a": 1.0})])
    run.begin({"task": "detection"}, config={"model": "x"})
    run.update(more=1)
    run.log_epoch(1, {"a": 2.0})
    run.note("said")
    run.close("finished")
    assert not (tmp_path / "run").exists()
    assert run.record == {"status": "running", "task": "detection", "more": 1}
    assert [row.epoch for row in run.history] == [0, 1]


def test_an_engine_that_trains_in_one_process_refuses_nodes_and_launchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivetrain.testing.data import class_folders
    from drivetrain.testing.toy import ToyEngine

    engine = ToyEngine("toy:linear", class_folders(tmp_path / "data"), work_dir=tmp_path / "run")
    with pytest.raises(
        UnsupportedOptionError, match="nodes=2 cannot be honoured: the engine 'toy' trains in one process"
    ):
        engine.train(1, nodes=2)
    for name, value in {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((UnsupportedError, OptionError)):
        engine.train(1)
    assert not (tmp_path / "run").exists()
    assert isinstance(engine, Engine)
