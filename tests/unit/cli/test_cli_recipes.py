"""Every recipe that is shipped is parsed against the real signature."""

from __future__ import annotations

import pytest
import yaml

from drivetrain.cli.config import list_recipes
from drivetrain.cli.main import main
from drivetrain.registry import resolve


def test_there_are_recipes() -> None:
    assert {"classification/fast", "anomaly/fast", "detection/fast"} <= set(list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_is_a_config_and_can_be_overridden(name: str, capsys) -> None:
    assert main(["train", "--config", name, "--max_epochs", "3", "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]
    assert config["task"] == {"detection": "detection", "anomaly": "anomaly"}.get(name.split("/")[0], config["task"])
    assert config["max_epochs"] == 3


@pytest.mark.slow  # lists the models of every installed framework
@pytest.mark.parametrize("name", list_recipes())
def test_the_model_of_a_recipe_exists_and_serves_its_task(name: str, capsys) -> None:
    main(["train", "--config", name, "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["task"] in resolve(config["model"]).model.tasks
