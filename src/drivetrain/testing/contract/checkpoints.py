"""Checks of checkpoints and work dirs as models."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivetrain.data import load_dataset
from drivetrain.engine import Engine
from drivetrain.errors import CheckpointNotFoundError
from drivetrain.runs.record import read_record
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import assert_same_predictions


class CheckpointChecks(Subject):
    """A trained model can be reopened."""

    def test_a_checkpoint_is_a_model(self, trained: Trained, dataset: Path, tmp_path: Path) -> None:
        """The file alone is enough to find the engine, the labels and the same answers."""
        path = trained.result.best_checkpoint or trained.result.last_checkpoint
        assert path is not None
        engine = Engine(path, dataset, work_dir=tmp_path / "work")
        assert engine.spec.name == self.spec.name
        assert_same_predictions(engine.predict(), trained.engine.predict(), self.same)
        assert engine.label_names == trained.engine.label_names
        assert not (tmp_path / "work").exists()

    def test_a_work_dir_is_a_model(self, trained: Trained) -> None:
        """The folder alone is enough: model, labels, task and data are recorded."""
        engine = Engine(trained.engine.work_dir)
        assert engine.spec.name == self.spec.name
        assert_same_predictions(engine.predict(), trained.engine.predict(), self.same)
        assert engine.task is self.task
        assert dict(engine.test()) == pytest.approx(dict(trained.engine.test()), abs=self.same, nan_ok=True)

    def test_last_and_best_are_chosen_for_one_call(self, trained: Trained) -> None:
        """Requesting the last state does not change what the next call uses."""
        before = trained.engine.predict()
        last = trained.engine.predict(checkpoint="last")
        assert_same_predictions(trained.engine.predict(), before, self.same)
        assert trained.result.last_checkpoint is not None
        assert_same_predictions(trained.engine.predict(checkpoint=trained.result.last_checkpoint), last, self.same)
        assert_same_predictions(trained.engine.predict(), before, self.same)

    def test_a_missing_checkpoint_is_said(self, trained: Trained, tmp_path: Path) -> None:
        """The error names the path, and nothing is downloaded."""
        with pytest.raises(CheckpointNotFoundError, match="Nothing was downloaded"):
            trained.engine.predict(checkpoint=tmp_path / "no.ckpt")

    def test_warm_start_across_labels(self, trained: Trained, tmp_path: Path) -> None:
        """Weights are transferred by class name, the labels are those of the new data, and a note says so."""
        other_dataset = self.make_other_dataset(tmp_path / "others")
        checkpoint = trained.result.last_checkpoint
        engine = self.make_engine(other_dataset, tmp_path / "work")
        result = self.train(engine, max_epochs=1, checkpoint=checkpoint)
        assert engine.label_names == load_dataset(other_dataset, task=self.task).label_names
        assert engine.label_names != trained.engine.label_names
        assert result.notes
        assert len(engine.predict()) > 0
        assert read_record(tmp_path / "work")["options"]["checkpoint"] == str(checkpoint)
