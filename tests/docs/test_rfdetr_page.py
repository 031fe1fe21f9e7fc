"""The example of docs/rfdetr.md is run, with fewer epochs and smaller images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from readme import ROOT

from drivetrain.testing.data import coco

PAGE = (ROOT / "docs" / "rfdetr.md").read_text(encoding="utf-8")
QUICKER = {"train(50": "train(1", "batch_size=8": "batch_size=2", "image_size=384": "image_size=64"}


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rfdetr", reason="needs the extra rfdetr")
    example = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[0]
    for words, fewer in QUICKER.items():
        assert words in example
        example = example.replace(words, fewer)
    coco(tmp_path / "shapes", subsets={"train": 4, "val": 2, "test": 2})
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    printed = capsys.readouterr().out
    assert "map=" in printed
    assert "Predictions(2 images, detection" in printed
