"""Every recipe that is shipped is parsed against the real signature."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drivetrain.cli.main import main
from drivetrain.models.resolve import resolve
from drivetrain.recipes import list_recipes, recipe_tasks
from drivetrain.testing.data import class_folders
from drivetrain.types import Task


def test_there_are_recipes() -> None:
    assert {"classification/fast", "anomaly/fast", "detection/fast"} <= set(list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_is_a_config_and_can_be_overridden(name: str, capsys) -> None:
    assert main(["train", "--config", name, "--max_epochs", "3", "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]
    assert config["max_epochs"] == 3


def test_a_recipe_is_named_as_such(capsys) -> None:
    assert main(["train", "--recipe", "anomaly/fast", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"] == "anomalib:Padim"
    assert main(["train", "--recipe", "anomaly/fats"]) == 2
    error = capsys.readouterr().err
    assert "--recipe anomaly/fats does not exist. Did you mean 'anomaly/fast'" in error
    assert "Your own file is given with --config FILE" in error


def test_a_recipe_may_be_given_as_the_model(tmp_path: Path, capsys) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("model: timm:resnet18\nmax_epochs: 3\nbatch_size: 4\n")
    assert main(["train", "--model", str(mine), "--batch_size", "8", "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert (config["model"], config["max_epochs"], config["batch_size"]) == ("timm:resnet18", 3, 8)


def test_a_recipe_for_another_task_is_refused_by_its_name(tmp_path: Path, capsys) -> None:
    folder = class_folders(tmp_path / "flowers")
    for option in ("--recipe", "--config", "--model"):
        assert (
            main(["train", option, "detection/fast", "--data", str(folder), "--work_dir", str(tmp_path / "run")]) == 2
        )
        error = capsys.readouterr().err
        assert "The recipe 'detection/fast' is for the task detection, but the annotations of" in error
        assert "can serve: classification, multilabel_classification. Recipes for them: classification/fast" in error
    assert not (tmp_path / "run").exists()


def test_every_task_of_a_recipe_is_known() -> None:
    assert all(Task.parse(task) for task in recipe_tasks().values())


@pytest.mark.slow  # lists the models of every installed framework
@pytest.mark.parametrize("name", list_recipes())
def test_the_model_of_a_recipe_exists_and_serves_its_task(name: str, capsys) -> None:
    main(["train", "--config", name, "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["task"] in resolve(config["model"]).model.tasks
