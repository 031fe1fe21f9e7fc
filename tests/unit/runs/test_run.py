"""Tests of the work dir."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain.errors import WorkDirError
from drivetrain.machine.versions import accelerators, environment
from drivetrain.runs import run as run_module
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import history_table, read_history, read_record
from drivetrain.runs.run import Run, default_work_dir, plain
from drivetrain.types.results import EpochRecord


def open_run(folder: Path, **values: Any) -> Run:
    return Run.open(folder, SilentProgress(), **values)


def finish(folder: Path, epochs: int = 1) -> None:
    run = open_run(folder)
    run.begin({"engine": "toy"})
    for epoch in range(epochs):
        run.log_epoch(epoch, {"val/accuracy": 0.5 + epoch / 10})
    run.note("a note")
    run.close("finished", metrics={"val/accuracy": 0.5})


# --- the record


def test_the_record_is_there_before_training_and_completed_after(tmp_path: Path) -> None:
    run = open_run(tmp_path / "work")
    run.begin({"engine": "toy", "options": {"max_epochs": 3, "callbacks": [object()], "rate": math.nan}})
    before = read_record(run.directory)
    assert before["status"] == "running"
    assert before["engine"] == "toy"
    assert before["options"] == {"max_epochs": 3, "callbacks": ["<builtins.object>"], "rate": "nan"}
    assert before["environment"]["versions"]["numpy"] == np.__version__
    assert before["parts"][0]["command"] == sys.argv
    assert "ended" not in before["parts"][0]
    run.update(effective={"lr0": 0.1})
    run.close("finished", metrics={"val/accuracy": 1.0})
    after = read_record(run.directory)
    assert after["status"] == after["parts"][0]["status"] == "finished"
    assert after["effective"] == {"lr0": 0.1}
    assert after["metrics"] == {"val/accuracy": 1.0}


def test_a_failure_is_recorded_with_its_reason(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.begin({})
    run.close("failed", error="ValueError: no")
    assert read_record(tmp_path)["status"] == "failed"
    assert read_record(tmp_path)["error"] == "ValueError: no"


def test_a_run_whose_options_are_refused_late_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "mine").touch()
    run = open_run(tmp_path)
    run.begin({"engine": "toy"}, config={"model": "toy"})
    (tmp_path / "upstream").mkdir()
    run.refuse("OptionError: no")
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]
    assert (tmp_path / "artifacts" / "mine").exists()
    open_run(tmp_path).release()


def test_a_refused_run_with_a_state_stays(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.begin({"engine": "toy"})
    (run.checkpoints / "last.npz").touch()
    run.refuse("OptionError: no")
    assert (read_record(tmp_path)["status"], read_record(tmp_path)["error"]) == ("failed", "OptionError: no")


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    open_run(tmp_path / "work").close("failed", error="x")
    assert not (tmp_path / "work").exists()


def test_plain_describes_what_has_no_plain_form(tmp_path: Path) -> None:
    value = {"a": np.float32(0.5), "b": (1, Path("x")), 3: {"z"}, "c": np.int64(4), "f": math.inf, "o": Run}
    assert plain(value) == {"a": 0.5, "b": [1, "x"], "3": ["z"], "c": 4, "f": "inf", "o": "<builtins.type>"}
    json.dumps(plain(value), allow_nan=False)


# --- one run after another


def test_a_work_dir_with_a_run_is_refused_with_what_can_be_done(tmp_path: Path) -> None:
    finish(tmp_path)
    with pytest.raises(WorkDirError, match=r"already holds a run \(status: finished\).*resume=True.*overwrite=True"):
        open_run(tmp_path)
    open_run(tmp_path, resume=True).release()


def test_resume_keeps_the_history_the_notes_and_the_parts(tmp_path: Path) -> None:
    finish(tmp_path, epochs=3)
    run = open_run(tmp_path, resume=True)
    assert [record.epoch for record in run.history] == [0, 1, 2]
    assert run.notes == ["a note"]
    run.begin({"engine": "toy"})
    run.log_epoch(2, {"val/accuracy": 0.9})
    run.log_epoch(3, {"val/accuracy": 0.95})
    run.close("finished")
    assert [record.epoch for record in read_history(tmp_path / "metrics.csv")] == [0, 1, 2, 3]
    assert read_history(tmp_path / "metrics.csv")[2].metrics == {"val/accuracy": 0.9}
    assert [part["status"] for part in read_record(tmp_path)["parts"]] == ["finished", "finished"]


def test_a_refused_resume_does_not_touch_the_finished_run(tmp_path: Path) -> None:
    finish(tmp_path)
    before = (tmp_path / "run.json").read_text()
    open_run(tmp_path, resume=True).close("failed", error="another model")
    assert (tmp_path / "run.json").read_text() == before


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(WorkDirError, match=r"holds no run to resume"):
        open_run(tmp_path / "work", resume=True)
    assert not (tmp_path / "work").exists()


def test_overwrite_removes_the_old_run_when_the_new_one_begins_and_nothing_else(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "artifacts" / "openvino-fp32").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    run = open_run(tmp_path, overwrite=True)
    assert (tmp_path / "checkpoints" / "best.ckpt").exists(), "the old run stays until the new one begins"
    run.begin({"engine": "toy"})
    run.close("finished")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run.json", "checkpoints", "notes.txt", ".lock"}
    assert not list((tmp_path / "checkpoints").iterdir())
    assert len(read_record(tmp_path)["parts"]) == 1


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    for values in ({}, {"resume": True}):
        with pytest.raises(WorkDirError, match=r"run\.json' cannot be read"):
            open_run(tmp_path, **values)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(WorkDirError, match=r"is not the record of a run"):
        open_run(tmp_path)
    open_run(tmp_path, overwrite=True).release()


# --- the lock

HOLD = """
import sys, time
from pathlib import Path
from drivetrain.runs.progress import SilentProgress
from drivetrain.machine.versions import accelerators, environment
from drivetrain.runs.run import Run
run = Run.open(Path(sys.argv[1]), SilentProgress())
run.begin({})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkDirError, match=rf"is held by another process \(process {holder.pid} of"):
            open_run(tmp_path, overwrite=True)
    finally:
        holder.kill()
        holder.communicate()
    assert read_record(tmp_path)["status"] == "running", "it was killed and could not say so"
    with pytest.raises(WorkDirError, match=r"status: killed in epoch 1"):
        open_run(tmp_path)
    open_run(tmp_path, resume=True).release()


def test_the_same_process_cannot_take_it_twice(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    with pytest.raises(WorkDirError, match="is held by another training run in this process"):
        open_run(tmp_path)
    run.release()
    open_run(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkDirError, match=r"is not writable.*work_dir="):
        open_run(tmp_path / "file" / "work")


def test_the_history_survives_the_table_to_the_last_bit(tmp_path: Path) -> None:
    history = [
        EpochRecord(0, {"train/loss": 1 / 3, "learning_rate": 1e-300}),
        EpochRecord(1, {"train/loss": 0.1 + 0.2, "val/accuracy": 1.0}),
        EpochRecord(2, {"val/accuracy": math.inf, "name, with comma": -0.0}),
    ]
    path = tmp_path / "metrics.csv"
    path.write_text(history_table(history))
    assert read_history(path) == history
    assert path.read_text().splitlines()[0] == 'epoch,train/loss,learning_rate,val/accuracy,"name, with comma"'
    assert read_history(tmp_path / "absent.csv") == []


def test_nan_survives_the_table(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(history_table([EpochRecord(0, {"val/map": math.nan})]))
    assert math.isnan(read_history(tmp_path / "metrics.csv")[0].metrics["val/map"])


def test_the_default_work_dir_is_new_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_work_dir("timm:resnet18", "../my flowers/")
    assert first.parent == tmp_path / "runs"
    assert first.name.startswith("timm-resnet18-my-flowers-")
    assert not first.exists()
    monkeypatch.setattr(run_module, "datetime", _Frozen)
    one = default_work_dir("m", "")
    one.mkdir(parents=True)
    assert default_work_dir("m", "").name == f"{one.name}-2"


class _Frozen(run_module.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls(2030, 1, 2, 3, 4, 5, tzinfo=tz)


def test_the_environment_says_versions_and_hardware() -> None:
    found = environment()
    assert found["versions"]["numpy"]
    assert found["cores"] >= 1
    assert found["memory_free_bytes"] > 0
    assert found["accelerators"] == accelerators()


def test_the_metric_that_chooses_comes_first_and_the_best_epochs_are_marked(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", SilentProgress())
    run.begin({})
    run.metric = "val/loss"
    marks = [
        run.log_epoch(epoch, {"train/loss": 9.0, "val/loss": value}).is_best
        for epoch, value in enumerate((0.5, 0.7, float("nan"), 0.4))
    ]
    assert marks == [True, False, False, True]
    assert run.metrics_csv.read_text().splitlines()[0] == "epoch,val/loss,train/loss"
    run.close("finished")
