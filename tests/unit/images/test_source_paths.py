"""Paths among a source: the home, and what is empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain.images.sources import decode


def test_the_home_is_written_as_a_tilde_alone_and_in_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    for source in ("~/a.png", ["~/a.png"], [Path("~/a.png")], ["~/*.png"], ["~"]):
        assert [path for path, _ in decode(source, strict=True)] == [str(tmp_path / "a.png")]
