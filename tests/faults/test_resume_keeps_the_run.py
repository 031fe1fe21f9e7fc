"""A resumed run keeps its original options without repeating them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from drivetrain import Engine
from drivetrain.cli.wording import reworded
from drivetrain.errors import DataError, OptionError, TrainingInterrupted
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import RunRecord
from drivetrain.testing import data, toy

SLOW = """
import sys, time
from dataclasses import replace
from drivetrain.cli.main import main
from drivetrain.models.registry import register_engine
from drivetrain.testing import toy

real = toy.ToyFramework._validate
def slow(self, *arguments):
    time.sleep(0.2)
    return real(self, *arguments)
toy.ToyFramework._validate = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("toys") / "data", subsets={"": 12})


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", SLOW, *map(str, words)]


def begun(folder: Path, work: Path) -> list[str]:
    words = ("--model", "drivetrain.testing.toy.ToyModel", "--engine", "toy", "--data", folder, "--work_dir", work)
    more = ("--max_epochs", 8, "--batch_size", 3, "--image_size", 6, "--seed", 5, "--model.momentum", 0.4)
    return command("train", *words, *more, "--data.splits", "[0.5, 0.25, 0.25]")


def kill_in_the_middle(words: list[str], work: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (work / "metrics.csv").is_file() or len((work / "metrics.csv").read_text().splitlines()) < 4:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how]


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(begun(folder, work), check=True, capture_output=True)
    return work


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_resume_alone_ends_as_the_unbroken_run(how: signal.Signals, folder: Path, whole: Path, tmp_path: Path) -> None:
    work = tmp_path / "run"
    kill_in_the_middle(begun(folder, work), work, how)
    config = (work / "config.yaml").read_text()
    state = RunRecord.at(work).state()
    assert state.startswith("killed after epoch" if how == signal.SIGKILL else "interrupted after epoch")
    assert state.endswith("of 8")
    said = subprocess.run(command("info", work), check=True, capture_output=True, text=True).stdout
    assert f"work dir of a run, {state}" in said
    assert f"drivetrain train --work_dir {work} --resume" in said
    subprocess.run(command("train", "--work_dir", work, "--resume"), check=True, capture_output=True)
    one, other = (json.loads((run / "run.json").read_text()) for run in (whole, work))
    for name in ("model", "data", "label_names", "effective_options", "metrics"):
        assert one[name] == other[name], name
    assert other["status"] == "finished"
    assert (work / "config.yaml").read_text() == config
    first, second = (np.load(run / "checkpoints" / "last.npz") for run in (whole, work))
    assert all(np.array_equal(first[name], second[name]) for name in first.files)
    assert subprocess.run(command("repeat", work, "--work_dir", tmp_path / "again"), check=False).returncode == 0


def test_sigterm_ends_a_job_in_the_background_of_a_shell_too(folder: Path, tmp_path: Path) -> None:
    """A shell without job control makes its background jobs ignore Ctrl-C."""
    work = tmp_path / "run"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        kill_in_the_middle(begun(folder, work), work, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert RunRecord.at(work).state().startswith("interrupted after epoch")


def test_what_changes_the_model_or_the_data_is_refused_and_what_else_differs_is_said(
    folder: Path, tmp_path: Path
) -> None:
    def made(model: Any, *more: Any, **options: Any) -> Any:
        engine: Any = Engine(model, *more, **options)
        engine.progress = SilentProgress()
        return engine

    work = tmp_path / "run"
    name = "drivetrain.testing.toy.ToyModel"
    made(name, folder, work_dir=work, engine="toy", model_args={"momentum": 0.5}).train(2, image_size=6, batch_size=4)
    with pytest.raises(OptionError, match=r"image_size=9: the run was started with 6; leave it out"):
        made(work).train(resume=True, image_size=9)
    with pytest.raises(OptionError, match=r"model_args=.*0\.9.*was started with .*0\.5"):
        made(name, folder, work_dir=work, engine="toy", model_args={"momentum": 0.9}).train(resume=True)
    other = data.class_folders(tmp_path / "other", subsets={"": 9}, seed=4)
    with pytest.raises(OptionError, match=r"data=.*other.*was started with"):
        made(work, other).train(resume=True)
    result = made(work).train(4, resume=True)
    assert "max_epochs is 4 from now on; the run was started with 2." in result.notes
    assert [row.epoch for row in result.history] == [0, 1, 2, 3]
    assert yaml.safe_load((work / "config.yaml").read_text())["max_epochs"] == 4
    assert RunRecord.at(work).options["batch_size"] == 4
    assert os.environ.get("DRIVETRAIN_MAX_EPOCHS") is None
    assert toy.SPEC.name == "toy"


def quiet(*arguments: Any, **more: Any) -> Any:
    engine: Any = Engine(*arguments, **more)
    engine.progress = SilentProgress()
    return engine


NAME = "drivetrain.testing.toy.ToyModel"


def test_a_run_that_was_moved_goes_on_where_it_is_now(folder: Path, tmp_path: Path) -> None:
    begun = quiet(NAME, folder, work_dir=tmp_path / "a run", engine="toy", device="cpu")
    begun.train(2, image_size=6, batch_size=4)
    moved = (tmp_path / "a run").rename(tmp_path / "there\nnow")
    result = quiet(moved).train(3, resume=True)
    assert [row.epoch for row in result.history] == [0, 1, 2]
    assert result.work_dir == moved
    assert not (tmp_path / "a run").exists()
    assert RunRecord.at(moved).content["device"] == "cpu"
    assert [note for note in result.notes if "from now on" in note] == [
        "max_epochs is 3 from now on; the run was started with 2."
    ]


def test_data_that_were_moved_are_taken_when_they_are_named(tmp_path: Path) -> None:
    source = data.class_folders(tmp_path / "data")
    quiet(NAME, source, work_dir=tmp_path / "run", engine="toy").train(1, image_size=6)
    for file in shutil.copytree(source, tmp_path / "copy").rglob("*.png"):
        os.utime(file, (1e9, 1e9))  # as after a copy that keeps no times
    with pytest.raises(OptionError, match=r"data=.*copy.*was started with"):
        quiet(tmp_path / "run", tmp_path / "copy").train(2, resume=True)
    shutil.rmtree(source)
    with pytest.raises(DataError, match=r"Those of the run were in .* Give them"):
        quiet(tmp_path / "run").train(2, resume=True)
    fewer = shutil.copytree(tmp_path / "copy", tmp_path / "fewer")
    next(fewer.rglob("*.png")).unlink()
    with pytest.raises(OptionError, match=r"data=.*fewer.*was started with"):
        quiet(tmp_path / "run", fewer).train(2, resume=True)
    result = quiet(tmp_path / "run", tmp_path / "copy").train(2, resume=True)
    assert any("which no longer exists; those in" in note for note in result.notes)
    assert len(result.history) == 2


def test_a_part_that_dies_at_once_takes_nothing_from_the_record(folder: Path, tmp_path: Path) -> None:
    """What an earlier part wrote stays until this one knows better."""
    work = tmp_path / "run"
    before = quiet(NAME, folder, work_dir=work, engine="toy").train(2, image_size=6, batch_size=4)
    whole = RunRecord.at(work).content
    engine = quiet(work)
    engine.framework.fit = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        engine.train(3, resume=True, batch_size=5)
    record = RunRecord.at(work).content
    assert {name for name in whole if name not in record} == set()
    assert record["status"] == "failed"
    assert record["effective_options"] == whole["effective_options"]
    assert set(before.notes) <= set(record["notes"])
    assert "batch_size is 5 from now on; the run was started with 4." in record["notes"]
    assert quiet(work).train(3, resume=True).history[-1].epoch == 2
    assert "error" not in RunRecord.at(work).content


def test_a_training_that_is_stopped_says_how_it_goes_on(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "my run"
    engine = quiet(NAME, folder, work_dir=work, engine="toy")
    epochs: list[Any] = []

    def stop(record: Any) -> None:
        epochs.append(record)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    engine.progress.epoch_end = stop
    with pytest.raises(TrainingInterrupted) as caught:
        engine.train(5, image_size=6)
    assert str(caught.value) == (
        f"Training was stopped after epoch 2 of 5; the last state is in {work / 'checkpoints'}. To continue: "
        f"`Engine({str(work)!r}).train(resume=True)` (on the command line: `drivetrain train --work_dir "
        f"'{work}' --resume`)"
    )
    assert reworded(str(caught.value)).endswith(f"To continue: drivetrain train --work_dir '{work}' --resume")
