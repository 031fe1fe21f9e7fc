"""Options from environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drivetrain.cli.main import main


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_variables_are_options_of_the_least_weight(toy, calls, colours: Path, tmp_path: Path, monkeypatch) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("batch_size: 4\nengine_args: {mosaic: 0.5}\n")
    for name, value in {
        "MODEL": "MeanSmall",
        "DATA": colours,
        "MAX_EPOCHS": 3,
        "BATCH_SIZE": 2,
        "IMAGE_SIZE": "[12, 16]",
        "ENGINE_ARGS__MOSAIC": 0.25,
        "MODEL__DEPTH": 4,
        "CONFIDENCE": 0.5,
    }.items():
        monkeypatch.setenv(f"DRIVETRAIN_{name}", str(value))
    assert run("train", "--config", config, "--work_dir", tmp_path / "w", "--max_epochs", 1) == 0
    options = calls["options"]
    assert (options.max_epochs, options.batch_size, options.image_size) == (1, 4, (12, 16))
    assert options.engine_args == {"mosaic": 0.5}
    assert calls["model_args"] == {"depth": 4}


def test_a_config_may_come_from_a_variable(toy, calls, colours: Path, tmp_path: Path, monkeypatch) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"model": "MeanSmall", "data": str(colours), "max_epochs": 2}))
    monkeypatch.setenv("DRIVETRAIN_CONFIG", str(config))
    assert run("train", "--work_dir", tmp_path / "w") == 0
    assert calls["options"].max_epochs == 2


def test_flags_may_come_from_variables(toy, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DRIVETRAIN_DEBUG", "1")
    assert run("train", "--model", "MeanSmal") == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("DRIVETRAIN_DEBUG", "0")
    monkeypatch.setenv("DRIVETRAIN_QUIET", "perhaps")
    assert run("train", "--model", "MeanSmall") == 2
    assert "DRIVETRAIN_QUIET='perhaps' is not allowed. Allowed: 1, 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DRIVETRAIN_MAX_EPOCH", "Did you mean 'DRIVETRAIN_MAX_EPOCHS'"),
        ("DRIVETRAIN_CASHE", "'DRIVETRAIN_CACHE'"),
        ("DRIVETRAIN_ENGINE_ARG__X", "Did you mean 'DRIVETRAIN_ENGINE_ARGS'"),
    ],
)
def test_a_typo_in_a_variable(toy, monkeypatch, capsys, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "3")
    assert run("train", "--model", "MeanSmall") == 2
    err = capsys.readouterr().err
    assert f"The environment variable {name} is not an option of drivetrain." in err
    assert hint in err


def test_a_value_of_the_wrong_type_names_the_option(toy, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DRIVETRAIN_BATCH_SIZE", "x")
    assert run("train", "--model", "MeanSmall") == 2
    assert "--batch_size x is not allowed. Allowed: a whole number." in capsys.readouterr().err
