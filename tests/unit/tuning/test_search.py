"""A search with the toy engine, in real worker processes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivetrain.engine import Engine
from drivetrain.errors import DrivetrainError, OptionError, WorkDirError
from drivetrain.models.candidate import Candidate
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data, toy
from drivetrain.types import Task, TuneResult

SPACE = {"learning_rate": {"low": 0.01, "high": 1.0, "log": True}, "model.momentum": [0.0, 0.5, 0.9]}

#: An engine with problems, which a worker imports like a user's own.
TROUBLED = """
import os, signal, time
from drivetrain.errors import OptionError
from drivetrain.models.registry import register_engine
from drivetrain.testing import toy
from dataclasses import replace

SPEC = replace(toy.SPEC, name="troubled", class_path="troubled:Troubled", claims=(), sources=())

class TroubledFramework(toy.ToyFramework):
    def fit(self, options, run, *, resume):
        if options.batch_size == 3:
            raise MemoryError("Unable to allocate 3 GiB")
        if options.batch_size == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if options.batch_size == 5:
            options = replace(options, batch_size=6)  # the framework knows better
        if options.batch_size == 7:
            raise ValueError("seven is not to its taste")
        if options.batch_size == 9:
            time.sleep(60)
        return super().fit(options, run, resume=resume)

@register_engine(SPEC)
class Troubled(toy.ToyEngine):
    spec = SPEC
    framework_class = TroubledFramework
"""


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def _toy_only(only_engines: Any, own_cache: Path) -> None:
    only_engines(toy.SPEC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "toys")


def make(folder: Path, work_dir: Path) -> Engine:
    engine = Engine("drivetrain.testing.toy.ToyModel", folder, work_dir=work_dir)
    engine.progress = Notes()
    return engine


def troubled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    (tmp_path / "troubled.py").write_text(TROUBLED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import troubled

    engine: Engine = troubled.Troubled(toy.ToyModel, folder, work_dir=tmp_path / "search")
    engine.progress = Notes()
    return engine


def by_batch(result: TuneResult) -> dict[int, Any]:
    return {trial.values["batch_size"]: trial for trial in result.trials}


def test_a_search_finds_values_that_a_config_repeats(folder: Path, tmp_path: Path) -> None:
    result = make(folder, tmp_path / "search").tune(3, space=SPACE, trials=4, workers=2, pruner="none")
    assert [trial.state for trial in result.trials] == ["finished"] * 4
    assert all(trial.used == pytest.approx(trial.values) for trial in result.trials), "read back from the framework"
    assert all(len(trial.curve) == 3 for trial in result.trials)
    assert result.value == max(trial.value or 0 for trial in result.trials)
    assert result.best_checkpoint is not None
    config = yaml.safe_load(result.config.read_text(encoding="utf-8"))
    assert config["learning_rate"] == result.best["learning_rate"]
    assert config["model_args"] == {"momentum": result.best["model.momentum"]}
    assert config["max_epochs"] == 3
    rows = list(csv.DictReader((tmp_path / "search" / "trials.csv").open(encoding="utf-8")))
    assert [row["model.momentum"] for row in rows] == [str(trial.values["model.momentum"]) for trial in result.trials]
    record = json.loads((tmp_path / "search" / "tuning.json").read_text(encoding="utf-8"))
    assert record["best"]["values"] == result.best
    page = (tmp_path / "search" / "report.html").read_text(encoding="utf-8")
    assert all(word in page for word in ("History", "Trials", "best so far", "model.momentum"))
    left = [trial for trial in (tmp_path / "search" / "trials").iterdir() if (trial / "checkpoints").exists()]
    assert len(left) == 1, "weights are kept of the best trial only"


def test_none_among_the_values_is_the_default_of_the_engine(folder: Path, tmp_path: Path) -> None:
    space = {"patience": [None, 3], "image_size": [None, 16]}
    result = make(folder, tmp_path / "search").tune(2, space=space, trials=4, pruner="none")
    assert [(trial.state, trial.error) for trial in result.trials] == [("finished", "")] * 4
    assert {tuple(trial.values.values()) for trial in result.trials} == {(p, s) for p in (None, 3) for s in (None, 16)}
    config = yaml.safe_load(result.config.read_text(encoding="utf-8"))
    assert (config.get("patience"), config.get("image_size")) == tuple(result.best.values())


def test_a_search_without_a_model_has_what_the_data_recommend(
    folder: Path, tmp_path: Path, only_engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Candidate(
        model="toy:linear",
        task=Task.CLASSIFICATION,
        image_size=24,
        measured_size=24,
        size_step=8,
        train_ms=1.0,
        predict_ms=1.0,
        quality=0.9,
        epochs=2,
        metrics=("val/accuracy", "val/accuracy"),
    )
    spec = replace(toy.SPEC, candidates=(small,))
    only_engines(spec)
    monkeypatch.setattr(toy.ToyEngine, "spec", spec)
    engine = Engine(None, folder, work_dir=tmp_path / "search")
    engine.progress = SilentProgress()
    assert engine.plan is not None
    result = engine.tune(space={"learning_rate": [0.01]}, trials=1, pruner="none")
    record = read_record(tmp_path / "search" / "trials" / "0000")
    for options in (record["options"], yaml.safe_load(result.config.read_text(encoding="utf-8"))):
        assert options["image_size"] == engine.plan["image_size"]
        assert options["batch_size"] == engine.plan["batch_size"]
        assert options["max_epochs"] == engine.plan["max_epochs"]


def test_a_search_goes_on_and_is_not_mixed_with_another(folder: Path, tmp_path: Path) -> None:
    first = make(folder, tmp_path / "search").tune(1, space=SPACE, trials=2)
    again = make(folder, tmp_path / "search").tune(1, space=SPACE, trials=3)
    assert again.trials[:2] == first.trials
    assert len(again.trials) == 3
    assert len({trial.values["learning_rate"] for trial in again.trials}) == 3, "the sampler does not begin anew"
    with pytest.raises(WorkDirError, match=r"holds a search with another options .*overwrite=True"):
        make(folder, tmp_path / "search").tune(2, space=SPACE, trials=3)
    with pytest.raises(WorkDirError, match="holds a search with another space"):
        make(folder, tmp_path / "search").tune(1, space={"batch_size": [2, 4]}, trials=2)
    anew = make(folder, tmp_path / "search").tune(1, space={"batch_size": [2, 4]}, trials=5, overwrite=True)
    assert sorted(trial.values["batch_size"] for trial in anew.trials) == [2, 4], "a small space is searched once"


def test_troubles_are_recorded_and_survived(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = troubled(folder, tmp_path, monkeypatch)
    result = engine.tune(1, space={"batch_size": [2, 3, 4, 5, 7]}, trials=5, workers=2)
    trials = by_batch(result)
    assert {size: trial.state for size, trial in trials.items()} == {
        2: "finished",
        3: "out of memory",
        4: "out of memory",
        5: "failed",
        7: "failed",
    }
    assert "Unable to allocate 3 GiB" in trials[3].error
    assert "was killed from outside" in trials[4].error
    assert "batch_size=5 did not reach the framework, which used 6" in trials[5].error
    assert trials[7].error == "ValueError: seven is not to its taste"
    assert result.best == {"batch_size": 2}


def test_a_search_without_hope_ends(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = troubled(folder, tmp_path, monkeypatch)
    with pytest.raises(DrivetrainError, match=r"first 3 trials all failed in the same way: ValueError: seven is not"):
        engine.tune(1, batch_size=7, space={"learning_rate": {"low": 0.1, "high": 0.2}}, trials=9)


def test_the_time_budget_ends_trials(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = troubled(folder, tmp_path, monkeypatch)

    class Clock:
        """Waits until the first trial is done, however long this machine needs for it."""

        @staticmethod
        def monotonic() -> float:
            return 1000.0 if any(" finished:" in note for note in engine.progress.said) else 0.0

    monkeypatch.setattr("drivetrain.tuning.coordinator.time", Clock)
    result = engine.tune(1, space={"batch_size": [2, 9]}, trials=2, workers=2, time_budget=4.0)
    trials = by_batch(result)
    assert trials[2].state == "finished"
    assert trials[9].state == "pruned"
    assert trials[9].error == "the time budget is exhausted, in the middle of an epoch"


def test_the_workers_share_the_free_cores_and_it_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make(folder, tmp_path / "search")
    engine.progress = notes = Notes()
    shares = "drivetrain.tuning.coordinator.child_environment"
    monkeypatch.setattr(shares, lambda *, processes, repeatable: {"OMP_NUM_THREADS": str(7 - processes)})
    engine.tune(1, space={"learning_rate": [0.1, 0.2]}, trials=2, workers=2)
    assert "Threads in each of 2 worker processes: 5." in notes.said
    records = [read_record(run) for run in (tmp_path / "search" / "trials").iterdir()]
    assert {record["environment"]["openmp"]["OMP_NUM_THREADS"] for record in records} == {"5"}


def test_bad_trials_are_ended_early(folder: Path, tmp_path: Path) -> None:
    space = {"learning_rate": [1e-9, 1.0, 1e-8, 1e-7]}
    result = make(folder, tmp_path / "search").tune(9, space=space, trials=4, metric="val/loss")
    states = {trial.values["learning_rate"]: trial.state for trial in result.trials}
    assert states[1.0] == "finished"
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.curve) < 9 and trial.error == "others were better by then" for trial in pruned)
    assert result.best == {"learning_rate": 1.0}
    record = read_record(tmp_path / "search" / "trials" / f"{pruned[0].number:04d}")
    assert record["status"] == "pruned"


def test_train_searches_first_when_asked(folder: Path, tmp_path: Path) -> None:
    engine = make(folder, tmp_path / "work")
    result = engine.train(2, seed=3, run_hpo=True, hpo_config={"space": SPACE, "trials": 2})
    record = read_record(tmp_path / "work")
    config = yaml.safe_load((tmp_path / "work" / "config.yaml").read_text(encoding="utf-8"))
    assert record["effective_options"]["learning_rate"] == config["learning_rate"]
    assert record["effective_options"]["momentum"] == config["model_args"]["momentum"] == engine.model.momentum
    assert "run_hpo" not in config
    assert any(note.startswith("The search of 2 trials chose learning_rate=") for note in result.notes)
    assert (tmp_path / "work" / "tuning" / "best.yaml").is_file()


def test_nothing_is_written_for_a_wrong_space(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'learning_rate'"):
        make(folder, tmp_path / "search").tune(1, space={"learning_rat": [0.1]})
    with pytest.raises(OptionError, match="Did you mean 'momentum'"):
        make(folder, tmp_path / "search").tune(1, space={"engine_args.momentun": [0.1]})
    with pytest.raises(OptionError, match="Did you mean 'trials'"):
        make(folder, tmp_path / "search").train(1, run_hpo=True, hpo_config={"trails": 1})
    assert not (tmp_path / "search").exists()


def test_a_metric_that_is_not_logged_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"metric='val/accurac' is not allowed\. Did you mean 'val/accuracy'"):
        make(folder, tmp_path / "work").train(1, metric="val/accurac")
    with pytest.raises(DrivetrainError, match="Did you mean 'val/accuracy'"):
        make(folder, tmp_path / "search").tune(1, metric="val/accurac", space=SPACE, trials=3)


def test_the_default_folder_is_the_same_for_the_same_search(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = Engine("drivetrain.testing.toy.ToyModel", folder)
    engine.progress = SilentProgress()
    first = engine.tune(1, trials=1)
    assert first.work_dir.parent == tmp_path / "runs"
    assert set(first.best) == {"learning_rate", "model.momentum"}, "the engine's own space"
    assert engine.tune(1, trials=1) == first
