"""Ctrl-C, and going on."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivetrain.errors import CheckpointError, OptionError, TrainingInterrupted, WorkDirError
from drivetrain.runs.record import read_history, read_record
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import assert_same_predictions
from drivetrain.testing.contract.spy import Spy


class InterruptChecks(Subject):
    """A training that is broken off and resumed."""

    def test_a_resumed_run_equals_an_uninterrupted_one(self, trained: Trained, dataset: Path, tmp_path: Path) -> None:
        """Ctrl-C after the first epoch leaves the state; a new engine goes on to the same end, and further."""
        engine = self.make_engine(dataset, tmp_path / "work")
        engine.progress = Spy(engine, interrupt_after=1)
        with pytest.raises(TrainingInterrupted, match="resume=True"):
            self.train(engine)
        assert read_record(tmp_path / "work")["status"] == "interrupted"
        assert list((tmp_path / "work" / "checkpoints").glob("last.*"))

        again = self.make_engine(dataset, tmp_path / "work")
        result = self.train(again, resume=True)
        assert [row.epoch for row in result.history] == list(range(self.epochs))
        assert [part["status"] for part in read_record(tmp_path / "work")["parts"]] == ["interrupted", "finished"]
        assert_same_predictions(again.predict(), trained.engine.predict(), self.same)

    def test_a_finished_run_can_be_extended(self, dataset: Path, tmp_path: Path) -> None:
        """``resume=True`` with a larger ``max_epochs``."""
        self.needs("train")
        self.train(self.make_engine(dataset, tmp_path / "work"), max_epochs=1)
        result = self.train(self.make_engine(dataset, tmp_path / "work"), max_epochs=2, resume=True)
        assert [row.epoch for row in result.history] == [0, 1]
        assert [row.epoch for row in read_history(tmp_path / "work" / "metrics.csv")] == [0, 1]

    def test_there_must_be_something_to_resume(self, dataset: Path, tmp_path: Path) -> None:
        """Of the same engine and model, and not together with a checkpoint."""
        self.needs("train")
        with pytest.raises(WorkDirError, match="holds no run to resume"):
            self.train(self.make_engine(dataset, tmp_path / "work"), resume=True)
        with pytest.raises(OptionError, match="Leave out one of them"):
            self.train(self.make_engine(dataset, tmp_path / "work"), resume=True, checkpoint="last")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "run.json").write_text('{"engine": "another", "model": {"name": "other"}}')
        with pytest.raises(CheckpointError, match="holds a run of engine 'another'"):
            self.train(self.make_engine(dataset, tmp_path / "other"), resume=True)
