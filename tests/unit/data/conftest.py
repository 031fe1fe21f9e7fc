"""Images on disk and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImage = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(folder))
    return folder


@pytest.fixture
def make_image() -> MakeImage:
    """``make_image(path, size=(h, w), seed=0, orientation=1)`` writes a small picture of noise."""

    def make(path: Path, size: tuple[int, int] = (24, 32), *, seed: int = 0, orientation: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        exif = Image.Exif()
        if orientation != 1:
            exif[0x0112] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
        return path

    return make


@pytest.fixture
def class_folders(tmp_path: Path, make_image: MakeImage) -> Path:
    """20 cats, 10 dogs and 3 emus in class folders."""
    root = tmp_path / "animals"
    for name, count in (("cat", 20), ("dog", 10), ("emu", 3)):
        for index in range(count):
            make_image(root / name / f"{index:02}.jpg", seed=index)
    return root
