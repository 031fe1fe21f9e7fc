"""``drivetrain train`` without a model: what is chosen is shown, used, saved, and overridden."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivetrain.cli.main import main
from drivetrain.engine import Engine
from drivetrain.models import registry
from drivetrain.models.candidate import Candidate
from drivetrain.types import Task

SMALL = Candidate(
    model="toy:MeanSmall",
    task=Task.CLASSIFICATION,
    image_size=64,
    measured_size=64,
    train_ms=1.0,
    predict_ms=1.0,
    quality=0.9,
    epochs=3,
    metrics=("val/accuracy", "val/f1"),
)


@pytest.fixture
def offered(toy: type[Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy engine offers its small model to auto-configuration."""
    spec = replace(toy.spec, candidates=(SMALL,))
    monkeypatch.setattr(registry, "_registered", {"toy": spec})
    monkeypatch.setattr(toy, "spec", spec)


def test_without_a_model_it_is_chosen_and_said_why(
    offered: None, calls: dict[str, Any], colours: Path, tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    assert main(["train", "--data", str(colours), "--work_dir", str(run), "--batch_size", "5", "--json"]) == 0
    error = capsys.readouterr().err
    assert "What will be trained, and why (each can be overridden by the option of the same name)" in error
    assert "toy:MeanSmall" in error
    assert "given; 8 was recommended" in error
    options = calls["options"]
    assert (options.batch_size, options.image_size, options.metric) == (5, 64, "val/accuracy")
    record = json.loads((run / "run.json").read_text())
    decisions = {row["name"]: row for row in record["plan"]["decisions"]}
    assert decisions["batch_size"]["given"]
    assert decisions["model"]["value"] == "toy:MeanSmall"
    assert all(row["reason"] for row in decisions.values())
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["model"], config["task"], config["batch_size"]) == ("toy:MeanSmall", "classification", 5)
    assert config["data_args"] == {"splits": decisions["splits"]["value"]}
    again = tmp_path / "again"
    assert main(["train", "--config", str(run / "config.yaml"), "--work_dir", str(again)]) == 0
    second = json.loads((again / "run.json").read_text())
    assert "plan" not in second
    assert second["data"]["subsets"] == record["data"]["subsets"]
    assert second["options"] == record["options"]


def test_a_resumed_run_keeps_its_plan(offered: None, calls: dict[str, Any], colours: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(colours), "--work_dir", str(tmp_path / "run")]
    assert main([*words, "--image_size", "96"]) == 0
    assert main([*words, "--resume", "--max_epochs", "7"]) == 0
    assert (calls["options"].image_size, calls["options"].max_epochs) == (96, 7)


def test_a_dry_run_shows_the_plan_and_trains_nothing(
    offered: None, calls: dict[str, Any], colours: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["train", "--data", str(colours), "--dry_run", "--max_epochs", "9"]) == 0
    out = capsys.readouterr().out
    assert "toy:MeanSmall" in out
    assert re.search(r"max_epochs +9 +given; \d+ was recommended", out)
    assert "Nothing was trained." in out
    assert main(["train", "--data", str(colours), "--dry_run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["decisions"]
    assert {"task", "engine", "model", "image_size", "batch_size", "max_epochs"} <= {row["name"] for row in rows}
    assert "options" not in calls
    assert sorted(tmp_path.iterdir()) == before


def test_slips_of_a_dry_run(offered: None, colours: Path, capsys) -> None:
    assert main(["train", "--model", "toy:MeanSmall", "--data", str(colours), "--dry_run"]) == 2
    assert (
        "--dry_run shows what is chosen based on the data, but the model is given: toy:MeanSmall"
        in capsys.readouterr().err
    )
    assert main(["test", "--model", "toy:MeanSmall", "--dry_run"]) == 2
    assert "--dry_run belongs to train, not to test" in capsys.readouterr().err
    assert main(["train"]) == 2
    assert "Or give only --data FOLDER, and a model is chosen based on the data" in capsys.readouterr().err
