"""A search that is killed is resumed by the same command, and leaves no worker behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivetrain.testing import data

#: ``drivetrain tune`` with the toy engine registered; each step takes a moment, so that the kill hits running trials.
SCRIPT = """
import sys
import slow_toy
from drivetrain.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
ENGINE = """
import time
from dataclasses import replace
from drivetrain.models.registry import register_engine
from drivetrain.testing import toy

SPEC = replace(toy.SPEC, name="slow", class_path="slow_toy:Slow", claims=("slow_toy:SlowModel",), sources=())

class SlowModel(toy.ToyModel):
    pass

class SlowFramework(toy.ToyFramework):
    def _validate(self, *arguments):
        time.sleep(0.1)
        return super()._validate(*arguments)

@register_engine(SPEC)
class Slow(toy.ToyEngine):
    spec = SPEC
    framework_class = SlowFramework
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "slow_toy.py").write_text(ENGINE, encoding="utf-8")
    folder = data.class_folders(tmp_path / "toys")
    space = "{learning_rate: {low: 0.01, high: 1.0, log: true}, model.momentum: [0.0, 0.5, 0.9]}"
    words = [
        "tune",
        "--model",
        "slow_toy.SlowModel",
        "--engine",
        "slow",
        "--data",
        str(folder),
        "--work_dir",
        str(tmp_path / "search"),
    ]
    words += ["--max_epochs", "3", "--trials", "8", "--workers", "2", "--space", space, "--json"]
    return [sys.executable, "-c", SCRIPT, *words]


def start(command: list[str], tmp_path: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "DRIVETRAIN_CACHE": str(tmp_path / "cache")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def processes_of(folder: Path) -> list[int]:
    """The processes whose output goes to the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                target = (entry / "fd" / "1").readlink()
            except OSError:
                continue
            if target.is_relative_to(folder):
                found.append(int(entry.name))
    return found


def test_a_killed_search_goes_on(command: list[str], tmp_path: Path) -> None:
    search = tmp_path / "search"
    process = start(command, tmp_path)
    wait_for(lambda: len(list((search / "trials").glob("*/report.html"))) >= 3)
    workers = processes_of(search)
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not processes_of(search))
    with (search / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code": 6, "half a li')  # as left by a kill in the middle of a write
    (search / "journal.log.lock").symlink_to("nobody")
    process = start(command, tmp_path)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "The search continues after" in said
    result = json.loads(printed)
    states = [trial["state"] for trial in result["trials"]]
    assert states.count("finished") + states.count("pruned") == 8
    assert 1 <= states.count("interrupted") <= 2
    again = [trial["values"] for trial in result["trials"] if trial["state"] == "interrupted" and trial["values"]]
    done = [trial["values"] for trial in result["trials"] if trial["state"] in ("finished", "pruned")]
    assert all(values in done for values in again), "what was interrupted is done again"
    assert Path(result["config"]).is_file()


def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(command: list[str], tmp_path: Path) -> None:
    search = tmp_path / "search"
    process = start(command, tmp_path)
    wait_for(lambda: len(list((search / "trials").glob("*/report.html"))) >= 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to continue" in said
    wait_for(lambda: not processes_of(search), 5)
