"""A verb is a module and a line in the engine; that makes it a method and a command, with its options checked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import drivetrain

PACKAGE = Path(drivetrain.__file__).parent
LINE = "    export = known_options(_export)\n"

VERB = '''
"""Count: how many images there are to ask about."""

from __future__ import annotations

from typing import Any

from drivetrain.engine.state import EngineState
from drivetrain.types.results import Metrics

NEEDS = ("infer",)


def count(self: EngineState, source: Any = None, *, step: int = 1) -> Metrics:
    """Count images.

    Args:
        source: the images.
        step: how much each counts.

    Returns:
        Their number.
    """
    self.require("count", NEEDS)
    from drivetrain.images.stream import ImageStream

    return Metrics({"images": float(step * sum(1 for _ in ImageStream(source)))})
'''

IN_PYTHON = """
from drivetrain import Engine
from drivetrain.testing import toy
engine = Engine("toy:linear")
print(engine.count(IMAGES, step=2)["images"])
try:
    engine.count(IMAGES, steps=2)
except Exception as error:
    print(error)
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package with one additional verb module and its line in the engine."""
    package = tmp_path / "src" / "drivetrain"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "engine" / "verbs" / "count.py").write_text(VERB.lstrip(), encoding="utf-8")
    engine = package / "engine" / "engine.py"
    text = engine.read_text(encoding="utf-8")
    assert text.count(LINE) == 1
    new = '    count = known_options(__import__("drivetrain.engine.verbs.count", fromlist=["count"]).count)\n'
    engine.write_text(text.replace(LINE, LINE + new), encoding="utf-8")
    return tmp_path / "src"


def ask(copied: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copied), "DRIVETRAIN_CACHE": str(copied.parent / "cache")}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)
    return done.stdout + done.stderr


def test_a_verb_is_added_by_a_module_and_a_line(copied: Path, tmp_path: Path) -> None:
    from PIL import Image

    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(images / f"{number}.png")
    said = ask(copied, "-c", IN_PYTHON.replace("IMAGES", repr(str(images))))
    assert said.splitlines()[0] == "6.0"
    assert "count has no option 'steps'. Did you mean 'step'?" in said
    assert "how much each counts" in ask(copied, "-m", "drivetrain", "count", "--help")
