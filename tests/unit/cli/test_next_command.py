"""The last line of each verb: what to type next, with real paths."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from drivetrain.cli.main import main
from drivetrain.testing import data, toy  # noqa: F401  (the toy engine announces itself when it is imported)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("toys") / "my toys", subsets={"train": 4, "val": 3, "test": 3})


def test_each_verb_leads_to_the_next(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that one verb ends with is run as it stands, from the training to the artefact."""
    words = ["train", "--model", "drivetrain.testing.toy.ToyModel", "--engine", "toy", "--data", str(folder)]
    words += ["--work_dir", str(tmp_path / "a run"), "--max_epochs", "2"]
    seen = []
    for _ in range(5):
        assert main(words) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("Next: drivetrain "), last
        words = shlex.split(last)[2:]
        seen.append(words[0])
        if "artifacts" in " ".join(words):
            break
    assert seen == ["test", "export", "predict"]
    assert main(words) == 0
    assert "--save_images" in capsys.readouterr().out.splitlines()[-1]


def test_train_says_which_epoch_it_shows(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--model", "drivetrain.testing.toy.ToyModel", "--engine", "toy", "--data", str(folder)]
    assert main([*words, "--work_dir", str(tmp_path / "run"), "--max_epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "Epoch 1 of 2, the best by val/accuracy (*):"
    assert "val/accuracy *" in out
    assert max(map(len, out.splitlines())) <= 80 or str(tmp_path) in out


def test_the_help_of_train_does_not_ask_for_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    trained = capsys.readouterr().out
    assert main(["predict", "--help"]) == 0
    predicted = capsys.readouterr().out
    assert trained.startswith("usage: drivetrain train --data DATA [--model MODEL]")
    assert "the task to train for" in trained
    assert "the task to train for" not in predicted


def test_an_untrained_model_is_tested_with_a_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--model", "toy:linear", "--data", str(folder)]) != 0
    said = capsys.readouterr().err
    assert "toy:linear has not been trained here" in said
    assert "The toy model has no labels yet" in said
