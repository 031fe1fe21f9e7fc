"""The examples of docs/data-sets.md are run on generated shapes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from readme import ROOT

from drivetrain.cli.main import main
from drivetrain.testing import data as toy

PAGE = (ROOT / "docs" / "data-sets.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path / "cache"))
    toy.coco(tmp_path / "shapes")
    toy.coco(tmp_path / "more_shapes", seed=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert "Dataset(24 images (train: 12, val: 6, test: 6), 2 labels" in capsys.readouterr().out
    assert names["figures"].label_names == ("round", "angular")  # type: ignore[attr-defined]
    assert names["circles"].label_names == ("circle",)  # type: ignore[attr-defined]
    assert len(names["both"]) == 48  # type: ignore[arg-type]


def test_the_commands_take_their_options(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (commands,) = re.findall(r"^```\n(drivetrain data .*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    first, second = commands.strip().splitlines()
    assert main([word.replace("100", "5") for word in shlex.split(first)[1:]]) == 0
    assert (place / "circles").is_dir()
    assert "images    5 (" in capsys.readouterr().out
    assert main([word.replace(r"line(\d+)", r"(\d)\.png") for word in shlex.split(second)[1:]]) == 0
    assert "10 groups whole" in capsys.readouterr().out
