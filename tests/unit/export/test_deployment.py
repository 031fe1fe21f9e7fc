"""Folders ready for deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov  # noqa: TID253 - tests use the frameworks outright
import pytest

from drivetrain import Engine, deploy, load
from drivetrain.cli.main import main
from drivetrain.errors import ArtifactError, ArtifactExistsError, DataNotFoundError, OptionError
from drivetrain.runtime.artifact import Artifact
from drivetrain.testing import data, toy


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("deploy")
    folder = data.class_folders(root / "classes", subsets={"train": 4, "val": 2, "test": 2})
    engine = Engine(toy.ToyModel(), folder, work_dir=root / "work")
    engine.train(max_epochs=1)
    return engine.export()


@pytest.fixture
def images(artifact: Artifact) -> list[Path]:
    return sorted(artifact.path.glob("reference/*.png"))


def test_the_predictor_of_a_container_runs_from_its_folder(
    artifact: Artifact, images: list[Path], tmp_path: Path
) -> None:
    folder = deploy(artifact, tmp_path / "container")
    names = {path.name for path in folder.iterdir()}
    assert names == {"Dockerfile", "README.md", "artifact", "predict.py", "requirements.txt"}
    assert len((folder / "predict.py").read_text(encoding="utf-8").splitlines()) <= 10
    copied = [line.split()[1] for line in (folder / "Dockerfile").read_text("utf-8").splitlines() if "COPY" in line]
    assert set(copied) <= names
    command = [sys.executable, "predict.py", *map(str, images)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expected = load(artifact.path).predict(images)
    assert [line["path"] for line in lines] == [str(path) for path in images]
    assert [line["labels"] for line in lines] == [answer.labels.tolist() for answer in expected]


def test_a_wheel_goes_along(artifact: Artifact, tmp_path: Path) -> None:
    wheel = tmp_path / "drivetrain-0-py3-none-any.whl"
    wheel.write_bytes(b"")
    folder = deploy(artifact, tmp_path / "container", wheel=wheel)
    assert (folder / wheel.name).is_file()
    assert (folder / "requirements.txt").read_text(encoding="utf-8") == f"./{wheel.name}\n"
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert text.index(f"COPY {wheel.name}") < text.index("pip install")


def test_the_repository_of_a_server_holds_the_model_where_the_config_says(
    artifact: Artifact, images: list[Path], tmp_path: Path
) -> None:
    from drivetrain.images.read import read_image

    folder = deploy(artifact, tmp_path / "server", form="model_server", name="colours")
    (entry,) = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_config_list"]
    assert entry["config"]["name"] == "colours"
    base = folder / Path(entry["config"]["base_path"]).relative_to("/deploy")
    assert [path.name for path in base.iterdir()] == ["1"], "a folder for each version"
    assert sorted(path.name for path in (base / "1").iterdir()) == ["model.bin", "model.xml"]
    served = ov.Core().compile_model(base / "1" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = read_image(images[0])
    logits = served(image[None])[0]
    expected = load(artifact.path, precision="f32").predict(image)[0].probabilities
    np.testing.assert_allclose(np.exp(logits[0]) / np.exp(logits[0]).sum(), expected, atol=1e-4)
    assert "(1, H, W, 3) uint8" in (folder / "README.md").read_text(encoding="utf-8")


def test_slips_are_refused_and_leave_nothing(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for options, error, match in (
        ({"folder": tmp_path / "there"}, ArtifactExistsError, "overwrite=True"),
        ({"form": "kubernetes"}, OptionError, "form='kubernetes'"),
        ({"form": "model_server", "wheel": "a.whl"}, OptionError, "only applies to form='docker'"),
        ({"wheel": "no.whl"}, DataNotFoundError, "does not exist"),
        ({"name": "a b"}, OptionError, "name='a b'"),
        ({"artifact": tmp_path / "none"}, ArtifactError, "does not exist"),
    ):
        with pytest.raises(error, match=match):
            deploy(**{"artifact": artifact, "folder": tmp_path / "new", **options})
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_command(artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deploy", str(artifact.path), str(tmp_path / "server"), "--form", "model_server"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "config.json" in out
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["form"] == "model_server"
