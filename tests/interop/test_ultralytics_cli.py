"""Ultralytics' models on the command line, as used in practice: a ``data.yaml`` and a folder of classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine, load
from drivetrain.cli.main import main
from drivetrain.testing import data as toys

pytestmark = pytest.mark.slow


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """What the command says as JSON."""
    code = main([*map(str, words), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def test_a_detector_learns_from_a_data_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From random weights, 300 images of 160 pixels; the artefact has the same mAP."""
    source = toys.yolo(tmp_path / "data", subsets={"train": 300, "val": 60, "test": 60}, size=160)
    assert source.name == "data.yaml"
    work = tmp_path / "work"
    words = ("--max_epochs", 12, "--batch_size", 16, "--image_size", 160)
    _run(capsys, "train", "--model", "yolo11n", "--data", source, "--work_dir", work, *words)
    values = _run(capsys, "test", "--model", work, "--data", source)["values"]
    assert values["map_50"] >= 0.5
    assert values["upstream/mAP50(B)"] == pytest.approx(values["map_50"], abs=0.05)
    _run(capsys, "export", "--model", work, "--data", source, "--format", "openvino")
    artefact = load(work / "artifacts" / "fp32_openvino_model", precision="f32")  # some processors compute in bfloat16
    exported = Engine(artefact, source).test()
    for name in ("map", "map_50", "map_75"):
        assert exported[name] == pytest.approx(values[name], abs=1e-3)


def test_a_classifier_learns_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = toys.class_folders(tmp_path / "data")
    work = tmp_path / "work"
    words = ("--max_epochs", 2, "--batch_size", 8, "--image_size", 64)
    _run(capsys, "train", "--model", "yolo11n-cls", "--data", source, "--work_dir", work, *words)
    values = _run(capsys, "test", "--model", work, "--data", source)["values"]
    assert values["upstream/accuracy_top1"] == pytest.approx(values["accuracy"], abs=1e-6)


def test_a_command_says_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = toys.yolo(tmp_path / "data", subsets={"train": 6, "val": 3, "test": 3})
    words = ("--data", source, "--work_dir", tmp_path / "work")
    assert main([*map(str, ("train", "--model", "yolo11n-pose", *words))]) == 2
    assert "keypoint" in capsys.readouterr().err
    assert main([*map(str, ("train", "--model", "yolo11n", *words, "--batch_size", 99))]) == 2
    assert "there are 6 training images" in capsys.readouterr().err
    assert main([*map(str, ("train", "--model", "yolo11n", *words, "--engine_args.mosiac", 0.5))]) == 2
    assert "Did you mean 'mosaic'" in capsys.readouterr().err
    assert main([*map(str, ("train", "--model", "yolo11n.pt", *words))]) == 2
    assert "Nothing was downloaded." in capsys.readouterr().err
