"""The place of a process among those of a training, and starting and ending them; the processes here train nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drivetrain.errors import DataError, DrivetrainError, OptionError, TrainingInterrupted
from drivetrain.launch.ranks import LOST, Ranks, follows, run_ranks

THIS = "ranks_of_the_test"
PLACE = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "1",
}
JOBS = f"""
import os, signal, time
from drivetrain.errors import DataError, DrivetrainError, TrainingInterrupted
def place(channel, *rest):
    channel.tell(os.environ["RANK"])
    return os.environ["RANK"], os.environ["WORLD_SIZE"], rest
def wrong(channel):
    raise DataError("no picture") if os.environ["RANK"] == "0" else DrivetrainError("rank 1 of 2 {LOST}")
def broken(channel):
    print("what the library said", flush=True)
    raise DrivetrainError("rank 0 of 2 {LOST}") if os.environ["RANK"] == "0" else ZeroDivisionError("one by nothing")
def killed(channel):
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    raise DrivetrainError("rank 0 of 2 {LOST}")
def waiting(channel):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    channel.tell("waits")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise TrainingInterrupted("stopped, and saved")
"""


@pytest.fixture(autouse=True)
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{THIS}.py").write_text(JOBS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (*PLACE, "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)


def run(name: str, *arguments: Any, heard: list[Any] | None = None) -> Any:
    hear = [].append if heard is None else heard.append
    return run_ranks(f"{THIS}:{name}", arguments, devices=2, nodes=1, hear=hear)


def test_the_variables_of_a_launcher_say_where_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.here() is None
    assert not follows()
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    ranks = Ranks.here()
    assert ranks == Ranks(rank=3, size=4, local_rank=1, local_size=2)
    assert (ranks.nodes, ranks.leads, str(ranks), follows()) == (2, False, "rank 3 of 4", True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Ranks.here() is None, "one process trains alone, whoever started it"
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(OptionError, match="WORLD_SIZE='many', set by the launcher of this process, must be a whole"):
        Ranks.here()


def test_each_rank_knows_its_place_and_the_first_one_is_heard() -> None:
    heard: list[Any] = []
    assert run("place", 3, "x", heard=heard) == ("0", "2", (3, "x"))
    assert heard == ["0"]


def test_the_error_is_that_of_the_rank_that_failed_by_itself() -> None:
    with pytest.raises(DataError, match=r"^no picture$"):
        run("wrong")
    with pytest.raises(
        DrivetrainError, match=r"(?s)^Rank 1 of 2 on .* ZeroDivisionError: one by nothing\n.*library said"
    ):
        run("broken")


def test_a_rank_that_is_killed_is_named() -> None:
    began = time.monotonic()
    with pytest.raises(DrivetrainError, match=r"^Rank 1 of 2 on \S+ failed: its process \d+ was killed from outside"):
        run("killed")
    assert time.monotonic() - began < 15


def test_ctrl_c_reaches_every_rank_and_the_first_one_says_what_is_saved(tmp_path: Path) -> None:
    script = (
        "from drivetrain.launch.ranks import run_ranks\n"
        f"run_ranks('{THIS}:waiting', (), devices=2, nodes=1, hear=lambda event: print(event, flush=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.5)  # the second rank has no voice
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert f"{TrainingInterrupted.__name__}: stopped, and saved" in said


def test_several_nodes_must_know_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(
        OptionError, match=r"nodes=2 needs the variables .*; not set: MASTER_ADDR, MASTER_PORT\. .* torchrun"
    ):
        run_ranks(f"{THIS}:place", (), devices=2, nodes=2, hear=print)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(OptionError, match="NODE_RANK=2 must be below nodes=2"):
        run_ranks(f"{THIS}:place", (), devices=2, nodes=2, hear=print)
    monkeypatch.setenv("NODE_RANK", "1")
    assert run_ranks(f"{THIS}:place", (), devices=2, nodes=2, hear=lambda _: None) == ("2", "4", ())
