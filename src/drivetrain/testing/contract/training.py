"""Checks of training and of the work dir that it writes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from drivetrain.data import load_dataset
from drivetrain.errors import ImageError, WorkDirError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_history, read_record
from drivetrain.runs.run import Run
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import assert_same_predictions

_KEYS = ("schema", "drivetrain", "engine", "model", "task", "label_names", "options", "data", "parts", "environment")


class TrainingChecks(Subject):
    """A short training on toy data."""

    def test_train_leaves_a_complete_work_dir(self, trained: Trained) -> None:
        """The record is complete; table, checkpoints and report exist and are inside the work dir."""
        result, folder = trained.result, trained.engine.work_dir
        record = read_record(folder)
        assert record["status"] == "finished"
        assert [key for key in _KEYS if key not in record] == []
        assert result.work_dir == folder
        assert result.metrics, "there are metrics of the selected state"
        assert [row.epoch for row in result.history] == list(range(self.epochs))
        assert [row.epoch for row in read_history(folder / "metrics.csv")] == list(range(self.epochs))
        assert (folder / "report.html").stat().st_size > 0
        for which in ("best", "last"):
            checkpoint = getattr(result, f"{which}_checkpoint")
            name = record["checkpoints"][which]
            assert (name is None) == (checkpoint is None)
            if checkpoint is not None:
                assert folder / name == checkpoint
                assert checkpoint.parent == folder / "checkpoints"
                assert checkpoint.is_file()
        assert result.last_checkpoint is not None

    def test_the_record_is_written_before_training(self, trained: Trained) -> None:
        """A run that dies leaves a record of what it was."""
        before = trained.spy.run_record
        assert before["status"] == "running"
        assert before["engine"] == self.spec.name
        assert before["options"]["max_epochs"] == self.epochs
        assert before["data"]["fingerprint"]

    def test_trackers_are_told_what_the_history_says(self, trained: Trained) -> None:
        """Same names, same steps, the files of the run and pictures of answers, without code in the engine."""
        tracker, result = trained.tracker, trained.result
        assert tracker.record["engine"] == self.spec.name
        told = {epoch: list(metrics) for epoch, metrics in tracker.epochs.items()}
        assert told == {row.epoch: list(row.metrics) for row in result.history}
        assert {"run/run.json", "run/metrics.csv", "run/report.html"} <= set(tracker.files)
        assert result.last_checkpoint is not None
        assert f"checkpoints/{result.last_checkpoint.name}" in tracker.files
        assert [name for name in tracker.pictures if name.startswith("tracking/pictures/")]
        assert tracker.status == "finished"
        assert read_record(trained.engine.work_dir)["tracking"]["spy"]["where"] == str(trained.engine.work_dir)

    def test_progress_is_told(self, trained: Trained) -> None:
        """Start, steps, epochs and stop reach the progress."""
        events = trained.spy.events
        assert events[0] == f"start(0, {self.epochs})"
        assert events.count("epoch_end") == self.epochs
        assert {epoch for epoch, _ in trained.spy.steps} == set(range(self.epochs))
        assert [step for epoch, step in trained.spy.steps if epoch == 0] == list(
            range(events.count("step") // self.epochs)
        )
        assert trained.spy.images > 0
        assert events[-1] == "stop"

    def test_the_same_seed_gives_the_same_model(self, trained: Trained, dataset: Path, tmp_path: Path) -> None:
        """Two trainings with the same options give identical results."""
        again = self.make_engine(dataset, tmp_path / "work")
        result = self.train(again)
        assert [_without_times(row.metrics) for row in result.history] == [
            pytest.approx(_without_times(row.metrics), abs=self.same, nan_ok=True) for row in trained.result.history
        ]
        assert_same_predictions(again.predict(), trained.engine.predict(), self.same)

    def test_a_second_training_needs_a_word(self, dataset: Path, tmp_path: Path) -> None:
        """A finished run is not replaced by accident, and is replaced completely on request."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        first = self.train(engine, max_epochs=1)
        with pytest.raises(WorkDirError, match=r"resume=True.*overwrite=True"):
            self.train(engine, max_epochs=1)
        second = self.train(engine, max_epochs=1, overwrite=True)
        assert len(second.history) == len(first.history)
        assert len(read_record(tmp_path / "work")["parts"]) == 1
        assert len(engine.predict()) > 0

    def test_a_held_work_dir_is_refused(self, dataset: Path, tmp_path: Path) -> None:
        """Two trainings cannot write into one folder."""
        self.needs("train")
        holder = Run.open(tmp_path / "work", SilentProgress())
        try:
            with pytest.raises(WorkDirError, match="is held by another training run in this process"):
                self.train(self.make_engine(dataset, tmp_path / "work"))
        finally:
            holder.release()

    def test_every_unreadable_training_image_is_named(self, dataset: Path, tmp_path: Path) -> None:
        """All are reported at once, so that they can be fixed at once."""
        self.needs("train")
        copy = shutil.copytree(dataset, tmp_path / "data")
        damaged = list(load_dataset(copy, task=self.task).subset("train").paths[:3])
        for path in damaged:
            _spoil(Path(path))
        with pytest.raises(ImageError) as caught:
            self.train(self.make_engine(copy, tmp_path / "work"), max_epochs=1)
        assert str(caught.value).startswith("3 of the ")
        assert [path for path in damaged if path not in str(caught.value)] == []
        assert read_record(tmp_path / "work")["status"] == "failed"

    def test_nothing_is_written_elsewhere(self, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither next to the data, nor in the current folder, nor in the home folder."""
        self.needs("train")
        current, home = tmp_path / "current", tmp_path / "home"
        current.mkdir()
        home.mkdir()
        monkeypatch.chdir(current)
        monkeypatch.setenv("HOME", str(home))
        before = _tree(dataset)
        engine = self.make_engine(dataset, tmp_path / "work")
        self.train(engine, max_epochs=1)
        engine.test()
        engine.predict()
        assert _tree(dataset) == before
        assert _tree(current) == {}
        assert {name for name in _tree(home) if not name.startswith(".cache")} == set()


def _spoil(picture: Path) -> None:
    """Damage the pixels of a PNG but keep its header and its end, so that only reading it completely reveals it."""
    content = bytearray(picture.read_bytes())
    content[41:-16] = b"\xff" * (len(content) - 57)
    picture.write_bytes(content)


def _without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "time" not in name and "seconds" not in name}


def _tree(folder: Path) -> dict[str, int]:
    """Every file below a folder with its modification time."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            found[str(path.relative_to(folder))] = path.stat().st_mtime_ns
    return found
