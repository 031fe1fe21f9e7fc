"""What export says of model and artefact on validation images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivetrain import Engine
from drivetrain.cli.render import artifact_text
from drivetrain.engine import exported
from drivetrain.errors import DataError
from drivetrain.testing import data, toy


def trained(root: Path) -> Engine:
    folder = data.class_folders(root / "classes", subsets={"train": 4, "val": 5, "test": 2})
    engine = Engine(toy.ToyModel(), folder, work_dir=root / "work")
    engine.train(max_epochs=1)
    return engine


def test_the_metric_of_model_and_artefact_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = trained(tmp_path)
    artifact = engine.export()
    found = artifact.parity["details"]["task_metrics"]
    assert (found["subset"], found["images"]) == ("val", 15)
    assert found["model"]["accuracy"] == found["artefact"]["accuracy"] == engine.test(subset="val")["accuracy"]
    assert json.loads((artifact.path / "parity.json").read_text(encoding="utf-8")) == artifact.parity
    lines: list[str] = []
    page = type("Lines", (), {"line": lambda _, text="": lines.append(text), "table": lambda *_, **__: None})()
    artifact_text(artifact, page)
    assert any(line.startswith("accuracy ") and "15 images of val" in line for line in lines)
    monkeypatch.setattr(exported, "_MEASURED", 4)
    bounded = engine.export(name="bounded").parity["details"]["task_metrics"]
    assert bounded["images"] == 4


def test_without_truth_there_is_none_and_a_failure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = trained(tmp_path)
    notes: list[str] = []
    monkeypatch.setattr(engine.progress, "note", notes.append)

    def fail(*_: object) -> None:
        raise DataError("the labels are others")

    monkeypatch.setattr(exported, "_measured", fail)
    assert "task_metrics" not in engine.export(name="one").parity["details"]
    assert any("the labels are others" in note for note in notes)
    image = next((tmp_path / "classes" / "val").rglob("*.png"))
    alone = Engine(tmp_path / "work" / "checkpoints" / "best.npz", work_dir=tmp_path / "other")
    assert "task_metrics" not in alone.export(images=[image]).parity["details"]
