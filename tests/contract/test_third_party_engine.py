"""The example of a third-party engine, built, installed and run as by an outsider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain.testing import data

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "third_party_engine"
USE = """
import sys
import drivetrain
spec = drivetrain.list_engines()["colour"]
assert "colour_engine.engine" not in sys.modules, "listing engines does not import them"
assert [entry.full_name for entry in drivetrain.list_models("colour")] == ["colour:mean"]
engine = drivetrain.Engine("colour:mean", sys.argv[1], work_dir=sys.argv[2])
assert type(engine).__name__ == "ColourEngine"
assert isinstance(engine, drivetrain.Engine)
engine.train()
print("accuracy", engine.test()["accuracy"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed from a copy of its sources, without network access."""
    import shutil

    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache", "dist")
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "package", ignore=ignored)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(installed: Path, *arguments: str | Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "DRIVETRAIN_CACHE": str(folder / "cache")}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_and_used_by_its_name(installed: Path, tmp_path: Path) -> None:
    dataset = data.class_folders(tmp_path / "photos")
    assert "accuracy 1.0" in run(installed, "-c", USE, dataset, tmp_path / "work", folder=tmp_path)


@pytest.mark.slow
def test_it_keeps_the_contract(installed: Path, tmp_path: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error:::drivetrain")
    shown = run(installed, "-m", "pytest", *options, "--rootdir", EXAMPLE, EXAMPLE / "tests", folder=tmp_path)
    assert re.search(r"\d\d passed, 4 skipped, 4 xfailed", shown), shown


def test_without_it_the_name_is_unknown() -> None:
    from drivetrain import list_engines

    assert "colour" not in list_engines()
