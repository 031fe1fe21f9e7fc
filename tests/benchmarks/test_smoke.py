"""Every benchmark still runs: with minimal arguments it ends with figures and without a traceback."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def scripts() -> list[Path]:
    return [path for path in sorted(FOLDER.glob("*.py")) if '__name__ == "__main__"' in path.read_text("utf-8")]


def smallest(path: Path) -> list[list[str]]:
    """The minimal arguments of a script."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["SMOKE"]:
            return list(ast.literal_eval(node.value))
    return []


def test_every_script_names_its_smallest_runs() -> None:
    assert len(scripts()) >= 11
    assert [path.name for path in scripts() if not smallest(path)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "arguments"),
    [(path, arguments) for path in scripts() for arguments in smallest(path)],
    ids=lambda value: value.stem if isinstance(value, Path) else "-".join(value[1:2]),
)
def test_a_script_runs(path: Path, arguments: list[str], tmp_path: Path) -> None:
    words = [sys.executable, str(path), *arguments]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.returncode in (0, 1), done.stderr[-3000:]  # 1: a limit is missed, which is allowed in such a small run
    assert any(character.isdigit() for character in done.stdout), "it printed no figure"
