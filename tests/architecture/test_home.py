"""A test that writes to the user's home fails the whole suite, which names the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"
TIDY = """
import os
from pathlib import Path

def test_it():
    assert str(Path.home()) == os.environ["HOME_OF_THE_TESTS"]
    for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME"):
        folder = Path(os.environ[name])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "litter").touch()
"""


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [("", 0), ('    (Path(os.environ["REAL"]) / ".cache" / "litter").touch()\n', 1)],
)
def test_what_a_test_leaves_in_the_home_is_found(lines: str, outcome: int, tmp_path: Path) -> None:
    home, place = tmp_path / "home", tmp_path / "place"
    (home / ".cache").mkdir(parents=True)
    place.mkdir()
    (place / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (place / "test_it.py").write_text(TIDY + lines, encoding="utf-8")
    ours = ("HOME_OF_THE_TESTS", "PYTEST_XDIST_WORKER")  # by which a session knows that another one started it
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", place, place],
        env={**kept, "HOME": str(home), "REAL": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == outcome, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert (f"wrote to the home {home}:\n  {home / '.cache' / 'litter'}" in done.stdout) == bool(outcome)
