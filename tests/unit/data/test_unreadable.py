"""Images that cannot be read are named together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data import unreadable
from drivetrain.errors import ImageError

FIRST = ImageError("the first of them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """25 damaged pictures of 30; their headers are whole."""
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    for number in range(30):
        file = tmp_path / "train" / ("cat", "dog")[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(file)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= number < 25
        file.write_bytes(content)
    return tmp_path


def test_twenty_are_named_and_the_rest_counted(folder: Path) -> None:
    text = str(unreadable.all_unreadable(load_dataset(folder), FIRST))
    assert text.startswith("25 of the 30 training and validation images cannot be read. ")
    assert len([line for line in text.splitlines() if "is damaged: the checksum" in line]) == 20
    assert text.endswith("\n  and 5 more")


def test_a_long_search_is_ended_and_says_how_far_it_came(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "_SECONDS", -1.0)
    text = str(unreadable.all_unreadable(load_dataset(folder), FIRST))
    assert " of the first " in text


def test_an_error_of_other_images_stays_as_it_is(folder: Path) -> None:
    good = load_dataset(folder).select(range(24, 30))
    whole = good.select([number for number, path in enumerate(good.paths) if int(Path(path).stem) >= 25])
    assert unreadable.all_unreadable(whole, FIRST) is FIRST
