"""The commands and code of the README are run as written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from readme import ROOT, blocks, write_digits

from drivetrain.testing.data import class_maps, coco


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)[:300]}\n{done.stderr[-3000:]}"
    return done


def test_the_python_example_runs(tmp_path: Path) -> None:
    example, _ = blocks("python")
    write_digits(tmp_path / "demo" / "mnist")
    printed = run([sys.executable, "-c", example], tmp_path).stdout
    assert "accuracy=" in printed
    assert re.search(r"Predictions\(4 images, classification: \d '[17]'", printed)


@pytest.mark.slow
def test_a_model_of_each_source_is_trained(tmp_path: Path) -> None:
    """As the README says it, with one epoch and small images."""
    pytest.importorskip("rfdetr", reason="needs the extra rfdetr")
    _, example = blocks("python")
    assert len(re.findall(r"^Engine\(", example, flags=re.MULTILINE)) == example.count(".train(50")
    quicker = re.sub(r"image_size=\d+", "image_size=64, batch_size=2", example).replace(".train(50", ".train(1")
    subsets = {"train": 4, "val": 2, "test": 2}
    coco(tmp_path / "shapes", subsets=subsets)
    class_maps(tmp_path / "maps", subsets=subsets)
    run([sys.executable, "-c", quicker], tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == quicker.count(".train(1")


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("drivetrain ")]
    assert [shlex.split(line)[1] for line in commands] == ["find", "train", "test", "export", "predict"]
    write_digits(tmp_path / "demo" / "mnist")
    for line in commands:
        words = shlex.split(line, comments=True)
        run([str(Path(sys.executable).with_name("drivetrain")), *words[1:]], tmp_path)
    assert list((tmp_path / "runs" / "digits").rglob("*.xml"))


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))):
        assert re.search(rf"^{name}:", makefile, flags=re.MULTILINE), name


def test_the_documented_exit_codes_are_those_of_the_command() -> None:
    from drivetrain.cli.main import EXIT_CODES

    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)
    assert documented == re.findall(r"^  (\d+) ", EXIT_CODES, flags=re.MULTILINE)
