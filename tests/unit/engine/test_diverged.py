"""Training whose losses are not finite says so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.errors import DrivetrainError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data, toy


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    folder = data.class_folders(tmp_path / "toys")
    made: Any = Engine("drivetrain.testing.toy.ToyModel", folder, work_dir=tmp_path / "run", engine="toy")
    made.progress = SilentProgress()
    return made


def spoil(monkeypatch: pytest.MonkeyPatch, *, from_epoch: int, keep_best: bool) -> None:
    validate, fit = toy.ToyFramework._validate, toy.ToyFramework.fit

    def spoilt(self: Any, *arguments: Any) -> dict[str, float]:
        found = validate(self, *arguments)
        return {**found, "val/loss": math.nan} if self.model.epochs >= from_epoch else found

    def without_best(self: Any, *arguments: Any, **more: Any) -> Any:
        found = fit(self, *arguments, **more)
        return found if keep_best else type(found)(None, found.last_checkpoint)

    monkeypatch.setattr(toy.ToyFramework, "_validate", spoilt)
    monkeypatch.setattr(toy.ToyFramework, "fit", without_best)


def test_no_loss_at_all_is_an_error_and_the_run_failed(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, from_epoch=0, keep_best=False)
    with pytest.raises(DrivetrainError, match=r"no loss was a finite number in any of 3 epochs.*learning_rate"):
        engine.train(3)
    assert read_record(engine.work_dir)["status"] == "failed"


def test_losses_that_are_lost_on_the_way_are_a_note(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, from_epoch=2, keep_best=True)
    assert any("its losses are not finite from epoch 3 on" in note for note in engine.train(4).notes)


def test_a_training_with_numbers_says_nothing_of_it(engine: Any) -> None:
    assert not any("diverged" in note for note in engine.train(2).notes)
