"""A process with little memory continues training with a smaller batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivetrain.runs.record import read_record
from drivetrain.testing import data

#: The toy engine with higher memory use: each image of a batch allocates this much during a step.
ENGINE = """
from dataclasses import replace
import numpy as np
from drivetrain.models.registry import register_engine
from drivetrain.testing import toy

SPEC = replace(toy.SPEC, name="hungry", class_path="hungry:Hungry", claims=("hungry:HungryModel",), sources=())
PER_IMAGE = 40 * 2**20

class HungryModel(toy.ToyModel):
    def learn(self, parts, rate):
        for inputs, _ in parts:
            held = np.ones(len(inputs) * PER_IMAGE, np.uint8)
            del held
        return super().learn(parts, rate)

class HungryFramework(toy.ToyFramework):
    def build(self, options=None):
        super().build(options)
        self._model.__class__ = HungryModel

@register_engine(SPEC)
class Hungry(toy.ToyEngine):
    spec = SPEC
    framework_class = HungryFramework
"""
TRAIN = """
import json, resource, sys
import hungry
from drivetrain import Engine
from drivetrain.machine.resources import available_memory, resident_memory
from drivetrain.runs.progress import SilentProgress

wanted = json.loads(sys.argv[1])

def limit(megabytes):
    size = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))
    soft = int(size) * 1024 + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))

class Progress(SilentProgress):
    def epoch_end(self, record):
        if record.epoch == wanted.get("limit_after"):
            limit(wanted["megabytes"])

engine = Engine(hungry.HungryModel, wanted["data"], work_dir=wanted["work_dir"], engine="hungry")
engine.progress = Progress()
engine.dataset
if "limit_after" not in wanted and "megabytes" in wanted:
    limit(wanted["megabytes"])
result = engine.train(wanted.get("epochs", 1), batch_size=18, adaptive_bs=wanted["adaptive_bs"])
print(json.dumps({"notes": result.notes, "epochs": len(result.history), "metrics": dict(result.metrics)}))
"""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "hungry.py").write_text(ENGINE, encoding="utf-8")
    return {"data": str(data.class_folders(tmp_path / "toys")), "work_dir": str(tmp_path / "work")}


def train(job: dict[str, Any], tmp_path: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "DRIVETRAIN_CACHE": str(tmp_path / "cache")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", before + TRAIN, json.dumps(job)], capture_output=True, text=True, env=environment
    )


def effective(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = read_record(Path(job["work_dir"]))["effective_options"]
    return found


def test_the_limit_of_ulimit_lowers_the_batch_before_training(job: dict[str, Any], tmp_path: Path) -> None:
    done = train({**job, "adaptive_bs": "safe", "megabytes": 320}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert effective(job)["batch_size"] in (2, 4)
    note = json.loads(done.stdout)["notes"][-1]
    assert note.startswith("adaptive_bs='safe': batch_size=")
    assert "18 does not fit" in note


def test_without_adaptive_bs_it_fails(job: dict[str, Any], tmp_path: Path) -> None:
    done = train({**job, "adaptive_bs": "none", "megabytes": 320}, tmp_path)
    assert done.returncode == 1
    assert "Unable to allocate 720. MiB" in done.stderr


def test_memory_that_runs_out_in_the_middle_halves_the_batch_once(job: dict[str, Any], tmp_path: Path) -> None:
    done = train({**job, "adaptive_bs": "safe", "limit_after": 1, "megabytes": 500, "epochs": 4}, tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["epochs"] == 4
    assert told["notes"][-1].startswith("Memory ran out (Unable to allocate 720. MiB")
    assert "from the last state, after epoch 2, with batch_size=9 instead of 18" in told["notes"][-1]
    assert effective(job) | {"batch_size": 9, "accumulate": 2} == effective(job)
    whole = {**job, "work_dir": str(tmp_path / "whole"), "adaptive_bs": "none", "epochs": 4}
    assert json.loads(train(whole, tmp_path).stdout)["metrics"] == pytest.approx(told["metrics"]), "the same steps"


def test_memory_that_runs_out_twice_is_an_error(job: dict[str, Any], tmp_path: Path) -> None:
    done = train({**job, "adaptive_bs": "safe", "limit_after": 1, "megabytes": 200, "epochs": 4}, tmp_path)
    assert done.returncode == 1
    assert "Unable to allocate 360. MiB" in done.stderr
    assert read_record(Path(job["work_dir"]))["status"] == "failed"


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
    """A control group with little memory, if this process may create one."""
    root = next(path for path in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"), tmp_path) if path.is_dir())
    made = root / f"drivetrain-test-{os.getpid()}"
    try:
        made.mkdir()
        name = next(name for name in ("memory.max", "memory.limit_in_bytes") if (made / name).exists())
        (made / name).write_text(str(700 * 2**20), encoding="ascii")
    except (OSError, StopIteration):
        if made.is_dir():
            made.rmdir()
        pytest.skip("this process may not make a control group with a memory limit (it needs to be root on Linux)")
    yield made
    made.rmdir()


def test_the_limit_of_a_control_group_is_kept(job: dict[str, Any], tmp_path: Path, group: Path) -> None:
    enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    done = train({**job, "adaptive_bs": "safe"}, tmp_path, before=enter)
    assert done.returncode == 0, done.stderr
    note = json.loads(done.stdout)["notes"][-1]
    assert "18 does not fit; 9 needs" in note
    assert effective(job)["batch_size"] == 9
