"""A framework's own error at a tiny image size is explained by the image size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import OptionError
from drivetrain.testing import data, toy


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    def fit(self: Any, options: Any, run: Any, *, resume: bool) -> Any:
        raise RuntimeError("max(): Expected reduction dim to be specified")

    monkeypatch.setattr(toy.ToyFramework, "fit", fit)
    return Engine("toy:linear", data.class_folders(tmp_path / "toys"), work_dir=tmp_path / "work")


def test_a_tiny_size_is_named(failing: Engine) -> None:
    with pytest.raises(OptionError, match=r"^image_size=1 is too small for toy:linear: .*reduction dim.* at least 32"):
        failing.train(image_size=1)


@pytest.mark.parametrize("size", [None, 64])
def test_other_failures_stay_what_they_are(size: int | None, failing: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"^max\(\)"):
        failing.train(image_size=size)
