"""The demo's data set: real digits, stratified, the same for every call."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "make_mnist.py"


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.png"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "mnist"
    done = call(str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_every_class_has_the_same_share_of_each_subset(digits: Path) -> None:
    counts = Counter((file.parts[-3], file.parts[-2]) for file in digits.rglob("*.png"))
    shares = {"train": 350, "val": 50, "test": 100}
    assert counts == {(subset, str(label)): share for subset, share in shares.items() for label in range(10)}


def test_no_digit_is_in_two_subsets(digits: Path) -> None:
    rows = [file.name for file in digits.rglob("*.png")]
    assert len(set(rows)) == len(rows) == 5000


def test_the_images_are_digits_of_28_pixels(digits: Path) -> None:
    with Image.open(next(digits.glob("train/0/*.png"))) as image:
        assert (image.size, image.mode) == ((28, 28), "L")
        low, high = image.getextrema()
        assert low == 0
        assert high > 200


def test_another_call_keeps_it_and_a_new_folder_equals_it(digits: Path, tmp_path: Path) -> None:
    before = digest(digits)
    times = {file: file.stat().st_mtime_ns for file in digits.rglob("*.png")}
    assert call(str(digits)).returncode == 0
    assert times == {file: file.stat().st_mtime_ns for file in digits.rglob("*.png")}
    assert call(str(tmp_path / "again")).returncode == 0
    assert digest(tmp_path / "again") == before


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    done = call(str(tmp_path))
    assert done.returncode == 1
    assert "holds something else" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
