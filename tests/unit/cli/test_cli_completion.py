"""The completion that is written for a shell completes there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain.cli.main import main


@pytest.fixture
def bash(toy, tmp_path: Path, capsys) -> Path:
    """The script, and a command "drivetrain" that knows the toy engine's models."""
    assert main(["find", "--names"]) == 0
    names = capsys.readouterr().out
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    command = tmp_path / "bin" / "drivetrain"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nprint({names!r}, end='')\n")
    command.chmod(0o755)
    return script


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    line = " ".join(f"'{word}'" for word in words)
    text = (
        f"source '{script}'\nCOMP_WORDS=({line})\nCOMP_CWORD={len(words) - 1}\n"
        f"_shtab_drivetrain drivetrain '{words[-1]}' '{words[-2]}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    path = f"{script.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
    )
    return [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
def test_bash(bash: Path) -> None:
    assert completed(bash, "drivetrain", "do") == ["doctor"]
    assert completed(bash, "drivetrain", "train", "--max_ep") == ["--max_epochs"]
    assert set(completed(bash, "drivetrain", "train", "--precision", "fp")) == {"fp32", "fp16"}
    assert set(completed(bash, "drivetrain", "data", "--output_format", "co")) == {"coco"}
    assert set(completed(bash, "drivetrain", "train", "--model", "Mean")) == {"MeanSmall", "MeanLarge"}


def test_zsh_and_slips(toy, capsys) -> None:
    assert main(["completion", "zsh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("#compdef drivetrain")
    assert "--max_epochs" in out
    assert "compadd -a names" in out
    assert main(["completion", "fish"]) == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err
