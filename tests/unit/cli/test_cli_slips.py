"""Every slip is one readable message and an exit code that says whose fault it is."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from drivetrain.cli.main import exit_code, main
from drivetrain.errors import (
    ArtifactError,
    ArtifactExistsError,
    CheckpointError,
    DataNotFoundError,
    ExportError,
    MissingDependencyError,
    OptionError,
    ParityError,
    UnknownModelError,
    UnsupportedError,
    WorkDirError,
)

MEAN = ("train", "--model", "MeanSmall")


def message_of(capsys, *words: object, code: int = 2) -> str:
    assert main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("drivetrain: ")]
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "'trian' is not a command. Did you mean 'train'?"),
        (["train", "--max_epoch", "3"], "--max_epoch is not an option of train. Did you mean '--max_epochs'?"),
        (["train", "--max-epoch", "3"], "Did you mean '--max_epochs'?"),
        (["train", "--epoch.a", "3"], "--epoch is not an option of train."),
        (["test", "--max_epochs", "3"], "--max_epochs belongs to train and tune, not to test."),
        (["train", "--format", "onnx"], "--format belongs to export, not to train."),
        ([*MEAN, "--batch_size", "x"], "--batch_size x is not allowed. Allowed: a whole number."),
        ([*MEAN, "--batch_size", "1.5"], "--batch_size 1.5 is not allowed."),
        ([*MEAN, "--batch_size", "0"], "--batch_size 0 must be at least 1."),
        ([*MEAN, "--image_size", "1", "2", "3"], "a whole number or [a whole number, a whole"),
        ([*MEAN, "--precision", "bf61"], "Did you mean 'bf16'? Allowed: auto, fp32, fp16, bf16."),
        ([*MEAN, "--resume", "maybe"], "--resume maybe is not allowed. Allowed: true or false."),
        ([*MEAN, "--batch_size"], "--batch_size needs a value."),
        ([*MEAN, "--batch_size", "1", "2"], "--batch_size takes one value, not 2: 1 2."),
        ([*MEAN, "--json", "x"], "--json takes no value, but 'x' follows it."),
        (["train", "MeanSmall"], "Options are written as: --name value, for example: --model MeanSmall."),
        ([*MEAN, "--engine_args", "3"], "--engine_args 3 is not allowed. Allowed: a mapping."),
        ([*MEAN, "--engine_args.x", "[1"], "--engine_args.x: '[1' is not YAML"),
        ([*MEAN, "--task.kind", "x"], "task has no parts"),
        (["train", "--model", "MeanSmal"], "Did you mean 'MeanSmall'?"),
        ([*MEAN, "--task", "clasification"], "Did you mean 'classification' or"),
        ([*MEAN, "--engine", "toi"], "Did you mean 'toy'?"),
        ([*MEAN, "--data", "nowhere"], "--data nowhere does not exist."),
        (["train", "--model", "MeanSmall"], "There are no data to train on."),
        (["train", "--max_epochs", "3"], "--model is missing."),
        ([*MEAN, "--data.format", "coco"], "data_args are given but no data."),
        (["train", "--model.help"], "--model.help needs the name of a model."),
        (["find", "--tsak", "x"], "--tsak is not an option of drivetrain find. Did you mean '--task'?"),
        (["info", "--model", "x"], "Write PATH without an option: drivetrain info PATH."),
        (["data", "--data", "x"], "Write PATH without an option: drivetrain data PATH."),
        (["find", "--limit", "x"], "invalid int value: 'x'"),
        (["find", "a", "b"], "unrecognized arguments: b"),
        (["info", "nowhere"], "'nowhere' does not exist."),
        ([*MEAN, "--config", ""], "--config '' is empty; is a variable unset?"),
        (["info", ""], "argument path: '' is empty; is a variable unset?"),
        (["data", " "], "argument path: ' ' is empty; is a variable unset?"),
    ],
)  # fmt: skip
def test_slips(toy, capsys, words: list[str], expected: str) -> None:
    assert expected in message_of(capsys, *words)


def test_an_engine_argument_that_does_not_exist(toy, colours: Path, tmp_path: Path, capsys) -> None:
    words = ("train", "--model", "MeanSmall", "--data", colours, "--work_dir", tmp_path / "w")
    assert "Did you mean 'mosaic'?" in message_of(capsys, *words, "--engine_args.mosiac", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_epoch: 3", "max_epoch is not an option of train. Did you mean 'max_epochs'?"),
        ("confidence: 0.5", "confidence belongs to predict, not to train."),
        ("max_epochs: many\nmodel: MeanSmall", "--max_epochs many is not allowed. Allowed: a whole number."),
        ("resume: 3\nmodel: MeanSmall", "--resume 3 is not allowed. Allowed: true or false."),
        ("[1, 2]", "must hold options as 'name: value' lines, not a list."),
        ("a: [", "is not YAML (line 1, column 5"),
        ("model: {name: x}", "model must be a name or a path"),
        ("model: !!python/object/apply:os.system ['echo']", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_slips_in_a_config(toy, tmp_path: Path, capsys, text: str, expected: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert expected in message_of(capsys, "train", "--config", file)


def test_a_config_that_is_not_there(toy, capsys) -> None:
    assert "cannot be read (No such file or directory)" in message_of(capsys, "train", "--config", "nowhere.yaml")
    assert "Did you mean 'classification/fast' or" in message_of(capsys, "train", "--config", "clasification/fast")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OptionError("x"), 2),
        (UnknownModelError("x"), 2),
        (DataNotFoundError("x"), 2),
        (CheckpointError("x"), 2),
        (WorkDirError("x"), 2),
        (ArtifactError("x"), 2),
        (UnsupportedError("x"), 2),
        (MissingDependencyError("x"), 3),
        (ExportError("x"), 1),
        (ParityError("x"), 1),
        (ArtifactExistsError("x"), 2),
    ],
)
def test_exit_codes(error, code: int) -> None:
    assert exit_code(error) == code


def test_a_run_that_is_there_already(toy, colours: Path, tmp_path: Path, capsys) -> None:
    words = [*MEAN, "--data", colours, "--work_dir", tmp_path / "my work"]
    assert main([str(word) for word in words]) == 0
    assert f"drivetrain test --model '{tmp_path / 'my work'}'" in capsys.readouterr().out
    said = message_of(capsys, *words)
    assert f"--work_dir '{tmp_path / 'my work'}' already holds a run" in said
    assert "Continue it with --resume, replace it with --overwrite," in said


def test_an_image_that_cannot_be_read(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work, broken = tmp_path / "work", tmp_path / "broken.jpg"
    assert main([str(word) for word in (*MEAN, "--data", colours, "--work_dir", work)]) == 0
    capsys.readouterr()
    broken.write_text("no image")
    said = message_of(capsys, "predict", "--model", work, "--source", broken)
    assert said.startswith("drivetrain: The only image of the source cannot be read:")
    assert str(broken) in said
    said = message_of(capsys, "predict", "--model", work, "--source", broken, tmp_path / "gone.jpg", "--json")
    assert "None of the 2 images of the source can be read; the first:" in said
    assert main(["predict", "--model", str(work), "--source", str(broken), str(colours / "red" / "0.png")]) == 0
    assert f"skipped {broken}" in capsys.readouterr().out


def test_a_checkpoint_that_would_run_code(toy, colours: Path, tmp_path: Path, capsys) -> None:
    class Command:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'witness'}",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"weights": Command()}))
    said = message_of(capsys, "predict", "--model", tmp_path / "evil.pt", "--source", colours)
    assert f"evil.pt is not safe: opening it would execute {os.system.__module__}.system." in said
    assert "It was not opened and nothing was run." in said
    assert not (tmp_path / "witness").exists()


def test_a_missing_package_is_code_3(toy, monkeypatch, capsys) -> None:
    monkeypatch.setattr(type(toy.spec), "missing", property(lambda self: ("toys",)))
    words = ("train", "--model", "MeanSmall", "--engine", "toy")
    assert "Install it with: pip install toys" in message_of(capsys, *words, code=3)


def test_debug_shows_where_it_came_from(toy, capsys) -> None:
    assert main(["train", "--model", "MeanSmal", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_failure_of_the_framework_is_code_1_with_its_traceback(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "w"
    words = [
        "train",
        "--model",
        "MeanSmall",
        "--data",
        str(colours),
        "--work_dir",
        str(work),
        "--engine_args.break",
        "1",
    ]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err
    assert err.splitlines()[-1] == "drivetrain: RuntimeError: the framework broke"
    assert (work / "config.yaml").is_file()


def test_an_interrupted_training_is_code_130(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "w"
    words = ["train", "--model", "MeanSmall", "--data", str(colours), "--work_dir", str(work)]
    assert main([*words, "--engine_args.interrupt", "1"]) == 130
    err = capsys.readouterr().err
    assert "Training was stopped in epoch 1; " in err
    assert "Traceback" not in err
    assert (work / "config.yaml").is_file()


def test_no_command_shows_the_commands(capsys) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for word in ("train", "test", "predict", "export", "find", "info", "130"):
        assert f"  {word} " in out
    assert main(["--version"]) == 0


def test_hyphens_are_underscores_in_the_names_of_options(toy, colours: Path, tmp_path: Path, calls, capsys) -> None:
    words = [*MEAN, "--data", colours, "--work-dir", tmp_path / "w", "--max-epochs=2", "--model-args.depth", 4]
    assert main([str(word) for word in words]) == 0
    assert calls["options"].max_epochs == 2
    assert calls["model_args"] == {"depth": 4}
    assert (tmp_path / "w" / "run.json").is_file()
    assert main(["data", str(colours), "--output-format", "coco", "--output", str(tmp_path / "coco")]) == 0
    capsys.readouterr()
    assert "'mosaic-x'" in message_of(capsys, *words[:5], "--overwrite", *words[5:], "--engine-args.mosaic-x", 1)
