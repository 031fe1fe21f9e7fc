"""``drivetrain data`` takes a part of the data before it shows or writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivetrain.cli.main import main
from drivetrain.testing import data as toy


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path / "cache"))
    return toy.coco(tmp_path / "shapes")


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_labels_subsets_and_names_are_chosen(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "data", shapes, "--labels", "circle", "--subsets", "train", "--remap", "circle=ball")
    assert found["label_names"] == ["ball"]
    assert list(found["subsets"]) == ["train"]
    assert found["objects"]["images without objects"] == 0


def test_a_sample_is_divided_by_groups(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--sample", "12", "--splits", "0.5", "0.25", "0.25", "--group", r"(\d+)\.png")
    found = answer(capsys, "data", shapes, *words)
    assert found["images"] == 12
    assert "groups whole" in found["notes"][-1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--remap", "circle"), "--remap circle: write OLD=NEW"),
        (("--remap", "cirle=x"), "Did you mean 'circle'"),
        (("--sample", "many"), "--sample many: give a number of images"),
        (("--group", "x"), "--group needs --splits with three fractions"),
        (("--labels", "triangle"), "'triangle' is not in this data set"),
    ],
)
def test_slips_are_told(shapes: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str) -> None:
    assert main(["data", str(shapes), *words]) == 2
    assert text in capsys.readouterr().err
