"""The examples of docs/explain.md are run on a small model of colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from readme import ROOT

from drivetrain import Engine
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data, toy

PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, and pictures that it has not seen."""
    monkeypatch.chdir(tmp_path)
    engine = Engine(
        toy.ToyModel(), str(data.class_folders(tmp_path / "flowers")), work_dir=tmp_path / "runs" / "flowers"
    )
    engine.progress = SilentProgress()
    engine.train(2)
    (tmp_path / "new").mkdir()
    for number, colour in enumerate(((200, 20, 20), (20, 20, 200), (180, 40, 40))):
        Image.new("RGB", (40, 30), colour).save(tmp_path / "new" / f"{number}.png")
    Image.new("RGB", (40, 30), (190, 30, 30)).save(tmp_path / "one.jpg")
    return tmp_path


def test_the_examples_run(place: Path) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    assert len(list((place / "why").iterdir())) == 3
    with np.load(place / "why.npz") as file:
        assert file["map_0"].shape == (30, 40)
    with np.load(place / "new.npz") as file:
        assert file["vectors"].shape == (3, 192)
    assert names["places"].shape == (3, 2), "as many neighbours as there are others"
    assert Path(names["found"].nearest(names["engine"].embed("one.jpg"), 1)[0][0][0]).name in ("0.png", "2.png")
