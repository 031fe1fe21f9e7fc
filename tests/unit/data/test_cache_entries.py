"""What data sets leave in the cache: listed, bounded by size and age, removed as a whole."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain.data import cache_entries as cache
from drivetrain.data import load_dataset
from drivetrain.errors import OptionError

DAY = 24 * 60 * 60


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Maps that have to be written again."""
    for name in "ab":
        for folder in ("images", "masks"):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "set" / "images" / f"{name}.png")
        pixels = np.zeros((20, 30), np.uint8)
        pixels[4:9] = 200
        pixels[12:15] = 113
        Image.fromarray(pixels).save(tmp_path / "set" / "masks" / f"{name}.png")
    return tmp_path / "set"


def test_every_kind_is_listed(masked: Path, class_folders: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "animals.zip", "w") as archive:
        for path in sorted(class_folders.rglob("*.jpg")):
            archive.write(path, path.relative_to(class_folders))
    load_dataset(masked)
    load_dataset(tmp_path / "animals.zip")
    found = cache.cache_entries()
    assert sorted(entry.kind for entry in found) == ["archives", "class_maps", "tables", "tables"]
    assert {entry.source for entry in found} == {str(masked), str(tmp_path / "animals.zip"), "animals", ""}
    assert all(entry.size > 0 and entry.days < 0.1 for entry in found)


def test_using_a_set_keeps_all_that_it_needs(masked: Path, own_cache: Path) -> None:
    load_dataset(masked)
    for kind in ("tables", "class_maps"):
        for path in (own_cache / kind).iterdir():
            age(path, 80)
    assert {entry.kind for entry in cache.cache_entries() if entry.days > 79} == {"tables", "class_maps"}
    load_dataset(masked)
    assert all(entry.days < 1 for entry in cache.cache_entries())


def test_a_set_whose_maps_were_removed_is_read_again(masked: Path) -> None:
    data = load_dataset(masked)
    cache.remove(entry for entry in cache.cache_entries() if entry.kind == "class_maps")
    assert not any(Path(path).exists() for path in data.mask_paths)
    assert all(Path(path).exists() for path in load_dataset(masked).mask_paths)


def test_the_longest_unused_go_first(own_cache: Path) -> None:
    for days in (1, 2, 3):
        (own_cache / "pictures" / str(days)).mkdir(parents=True)
        (own_cache / "pictures" / str(days) / "a.png").write_bytes(bytes(1000))
        age(own_cache / "pictures" / str(days), days)
    entries = cache.cache_entries()
    assert [entry.path.name for entry in entries] == ["3", "2", "1"]
    assert [entry.path.name for entry in cache.superfluous(entries, max_bytes=1500)] == ["3", "2"]
    assert [entry.path.name for entry in cache.superfluous(entries, max_days=2.5)] == ["3"]
    assert cache.superfluous(entries) == []
    cache.remove(entries[:1])
    assert [entry.path.name for entry in cache.cache_entries()] == ["2", "1"]
    assert cache.remove(entries[:1]) == []  # another process was faster


@pytest.mark.parametrize(
    ("variable", "value", "kept"),
    [("", "", [5, 30]), (cache.AGE_VARIABLE, "20", [5]), (cache.SIZE_VARIABLE, "1e-6", [5])],
)
def test_once_a_day_the_cache_is_bounded(
    variable: str, value: str, kept: list[int], own_cache: Path, class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, value)
    for days in (5, 30, 100):
        (own_cache / "archives" / f"set-{days}").mkdir(parents=True)
        (own_cache / "archives" / f"set-{days}" / "a").write_bytes(bytes(800))
        age(own_cache / "archives" / f"set-{days}", days)
    leftover = own_cache / "archives" / ".set-7.123"
    leftover.mkdir()
    age(leftover, 2)
    load_dataset(class_folders)
    assert sorted(path.name for path in (own_cache / "archives").iterdir()) == sorted(f"set-{days}" for days in kept)
    (own_cache / "archives" / "set-200").mkdir()
    age(own_cache / "archives" / "set-200", 200)
    load_dataset(class_folders, task="anomaly", normal="cat")
    assert (own_cache / "archives" / "set-200").exists()  # looked at today


def test_a_limit_that_is_no_number_is_refused(class_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, "much")
    with pytest.raises(OptionError, match="DRIVETRAIN_CACHE_GB='much' must be a number above 0"):
        load_dataset(class_folders)


def test_a_set_is_read_while_another_bounds_the_cache(
    masked: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in use stays; a table that is taken away is read again from its source."""
    monkeypatch.setenv(cache.AGE_VARIABLE, "1e-9")
    done = threading.Event()

    def clear() -> None:
        while not done.is_set():
            (own_cache / ".data_cache_looked_at").unlink(missing_ok=True)
            cache.remove_when_due()
            cache.remove(entry for entry in cache.cache_entries() if entry.kind == "tables")

    other = threading.Thread(target=clear)
    other.start()
    try:
        for _ in range(25):
            data = load_dataset(masked)
            assert (len(data), data.task.value) == (2, "semantic_segmentation")
    finally:
        done.set()
        other.join()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    from drivetrain.cli.main import main

    def run(*words: str, code: int = 0) -> str:
        assert main(["data", "cache", *words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_the_command_lists_and_removes(command: Callable[..., str], class_folders: Path) -> None:
    import json

    load_dataset(class_folders)
    said = command()
    assert str(class_folders) in said
    assert "parsed data sets" in said
    assert "90 days" in said
    listed = json.loads(command("--json"))
    assert [entry["kind"] for entry in listed["entries"]] == ["tables"]
    assert listed["removed"] == []
    assert "max_age" in command("--clear", "--max_age", "3", code=2)
    assert "must be 0 or more" in command("--max_size", "-1", code=2)
    assert cache.cache_entries()
    assert "1 entries" in command("--max_size", "0")
    load_dataset(class_folders)
    assert len(json.loads(command("--clear", "--json"))["removed"]) == 1
    assert cache.cache_entries() == []
