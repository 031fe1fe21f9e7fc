"""Long-lived child processes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from drivetrain.errors import OptionError
from drivetrain.launch.worker import Worker, next_speaker

JOBS = """
import os, sys

def add(channel, one, other):
    channel.tell("began")
    factor = channel.ask("factor?")
    return (one + other) * factor, os.getpid()

def fail(channel):
    print("printed")
    raise ValueError("no")

def leave(channel):
    sys.exit(3)

def end(channel):
    os._exit(7)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "jobs_of_the_test.py").write_text(JOBS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    made = Worker(tmp_path / "log", environment={"OMP_NUM_THREADS": "1"})
    yield made
    made.stop()


def test_it_does_one_job_after_the_other_in_one_process(worker: Worker) -> None:
    pids = set()
    for factor in (2, 3):
        worker.start("jobs_of_the_test:add", 1, 2)
        assert worker.receive().value == "began"
        assert worker.receive().kind == "question"
        assert worker.busy
        worker.answer(factor)
        done = worker.receive()
        assert done.kind == "done"
        assert not worker.busy
        assert done.value[0] == 3 * factor
        pids.add(done.value[1])
    assert pids == {worker.pid}
    assert next_speaker([worker], 0) == []


def test_a_job_that_fails_leaves_the_worker_ready(worker: Worker, tmp_path: Path) -> None:
    worker.start("jobs_of_the_test:fail")
    failed = worker.receive()
    assert (failed.kind, str(failed.value)) == ("failed", "ValueError: no")
    assert "printed" in (tmp_path / "log").read_text(encoding="utf-8")
    worker.start("jobs_of_the_test:no_such_job")
    assert worker.receive().value.kind == "AttributeError"


@pytest.mark.parametrize(("job", "code"), [("end", 7), ("leave", 3)])
def test_a_worker_that_ended_is_replaced(worker: Worker, job: str, code: int) -> None:
    worker.start(f"jobs_of_the_test:{job}")
    failed = worker.receive()
    assert failed.kind == "failed"
    assert not failed.value.out_of_memory
    assert f"ended with code {code}" in str(failed.value)
    assert worker.pid is None
    worker.start("jobs_of_the_test:fail")
    assert worker.receive().value.kind == "ValueError"


def test_what_cannot_be_sent_is_named(worker: Worker) -> None:
    with pytest.raises(OptionError, match=r"cannot be sent to a worker process .*Give the model by its name"):
        worker.start("jobs_of_the_test:fail", threading.Lock())


def test_a_class_of_the_script_is_explained(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    made = type("OfTheScript", (), {"__module__": "__main__"})
    monkeypatch.setattr(__main__, "OfTheScript", made, raising=False)
    worker.start("jobs_of_the_test:fail", made())
    assert "must be moved to a module of its own" in worker.receive().value.text


def test_stopping_ends_the_process(worker: Worker) -> None:
    worker.start("jobs_of_the_test:add", 1, 2)
    pid = worker.pid
    assert pid is not None
    worker.stop()
    assert not Path(f"/proc/{pid}").exists()
