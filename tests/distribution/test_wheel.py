"""The wheel contains what it should, and works when installed into a new environment."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from readme import ROOT, blocks, write_digits

import drivetrain

CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
PREDICT = """
import importlib.util, sys
import drivetrain
assert importlib.util.find_spec("torch") is None, "the base installation has no PyTorch"
assert drivetrain.__file__.startswith(sys.prefix), drivetrain.__file__
artifact, pictures = sys.argv[1:]
print(drivetrain.load(artifact).predict(pictures))
"""


def run(*words: str | Path, folder: Path) -> str:
    """The output of a command that sees neither this checkout nor its environment."""
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in own} | {"OMP_NUM_THREADS": "1"}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)[:300]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built like in ``make dist``."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (file,) = built.glob("*.whl")
    return file


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def install(wheel: Path, extras: str, folder: Path) -> Path:
    """Install the wheel into a new environment, at the versions tested together; returns its ``bin``."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
    run(*pip, "install", "-q", "-c", CONSTRAINTS, f"drivetrain{extras} @ {wheel.as_uri()}", folder=folder)
    assert run(*pip, "check", folder=folder) == "No broken requirements found.\n"
    return python.parent


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = ROOT / "src" / "drivetrain"
    files = {f"drivetrain/{path.relative_to(package)}" for path in package.rglob("*") if path.is_file()}
    kept = {name for name in files if "__pycache__" not in name}
    assert {"drivetrain/py.typed", "drivetrain/recipes/classification/fast.yaml"} <= kept
    info = f"drivetrain-{drivetrain.__version__}.dist-info"
    beside = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(names_in(wheel)) == kept | beside


def test_the_metadata_say_version_licence_and_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == drivetrain.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_source_archive_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert {"src", "tests", "docs", "LICENSE", "README.md", "CHANGELOG.md", "Makefile"} <= {
        p.name for p in source.iterdir()
    }
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", folder=source)
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_the_base_alone_runs_an_artefact(wheel: Path, tmp_path: Path) -> None:
    write_digits(tmp_path / "digits")
    engine = drivetrain.Engine("timm:test_resnet", tmp_path / "digits", work_dir=tmp_path / "run", device="cpu")
    engine.train(max_epochs=1, image_size=32)
    artifact, pictures = engine.export("openvino").path, tmp_path / "digits" / "test" / "7"
    installed = install(wheel, "", tmp_path / "environment")
    answers = run(installed / "python", "-c", PREDICT, artifact, pictures, folder=tmp_path)
    assert answers.startswith("Predictions(4 images, classification: ")
    command = (installed / "drivetrain", "predict", "--model", artifact, "--source", pictures, "--json")
    assert '"7"' in run(*command, folder=tmp_path)
    container = drivetrain.deploy(artifact, tmp_path / "container", wheel=wheel)
    lines = run(installed / "python", "predict.py", pictures, folder=container).splitlines()
    assert [json.loads(line)["size"] for line in lines] == [[28, 28]] * 4


@pytest.mark.slow
def test_the_extra_lightning_runs_the_example_of_the_readme(wheel: Path, tmp_path: Path) -> None:
    write_digits(tmp_path / "demo" / "mnist")
    installed = install(wheel, "[lightning]", tmp_path / "environment")
    example = blocks("python")[0]  # the second trains models of other frameworks
    printed = run(installed / "python", "-c", example, folder=tmp_path)
    assert "accuracy=" in printed
    assert "Predictions(4 images, classification: " in printed
