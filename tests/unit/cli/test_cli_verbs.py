"""The verbs as commands: what is written reaches the engine, and what comes back is shown."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from pycocotools.coco import COCO

from drivetrain.cli.main import main
from drivetrain.cli.signature import options_of, verbs
from drivetrain.types.options import TrainOptions


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def trained(toy, calls, colours: Path, tmp_path: Path, capsys) -> Path:
    work = tmp_path / "work"
    assert run("train", "--model", "MeanSmall", "--data", colours, "--work_dir", work, "--max_epochs", 2) == 0
    capsys.readouterr()
    return work


def test_train_hands_everything_on_and_prints_json(toy, calls, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "work"
    code = run(
        *("train", "--model", "MeanSmall", "--data", colours, "--work_dir", work, "--max_epochs", 2, "--json"),
        *("--model.depth", 4, "--engine_args.mosaic", "0.5", "--batch_size=8", "--image_size", 12, 16),
        *("--deterministic", "--precision", "bf16", "--learning_rate", "1e-3"),
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    result = json.loads(captured.out)
    assert result["work_dir"] == str(work)
    assert result["metrics"] == {"val/accuracy": 0.2, "val/auroc": None}
    assert [row["epoch"] for row in result["history"]] == [0, 1]
    assert result["overrides"] == {"batch_size": {"asked": 8, "used": 1}}
    assert Path(result["last_checkpoint"]).is_file()
    assert "the framework prints this" in captured.err
    assert calls["model_args"] == {"depth": 4}
    options = calls["options"]
    assert (options.max_epochs, options.batch_size, options.image_size) == (2, 8, (12, 16))
    assert (options.deterministic, options.precision, options.learning_rate) == (True, "bf16", 1e-3)
    assert options.engine_args == {"mosaic": 0.5}


def test_train_says_for_people_where_everything_is(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "work"
    assert run("train", "--model", "toy:MeanLarge", "--data", colours, "--work_dir", work) == 0
    out, err = capsys.readouterr()
    assert "val/accuracy" in out
    assert "0.1000" in out
    assert re.search(r"val/auroc +\N{EN DASH}", out)
    assert str(work / "checkpoints" / "last.json") in out
    assert f"drivetrain test --model {work}" in out
    assert "epoch 1/1: val/accuracy 0.1" in err


def test_quiet_hides_the_progress_but_not_what_was_left_out(toy, colours: Path, tmp_path: Path, capsys) -> None:
    (colours / "red" / "broken.png").write_text("no image")
    assert run("train", "--model", "MeanSmall", "--data", colours, "--work_dir", tmp_path / "work", "--quiet") == 0
    err = capsys.readouterr().err
    assert "epoch" not in err
    assert "1 image was skipped:" in err
    assert "broken.png" in err
    assert "Few images to measure on: val has 2 and test has 2" in err


def test_test_and_predict_open_the_work_dir(trained: Path, calls, colours: Path, capsys) -> None:
    assert run("test", "--model", trained, "--json") == 0
    assert json.loads(capsys.readouterr().out)["values"]["accuracy"] == 1.0
    assert calls["loaded"] == trained / "checkpoints" / "last.json"
    assert run("test", "--model", trained, "--data", colours, "--subset", "train") == 0
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert "Evaluated on" in out

    files = sorted((colours / "red").glob("*.png"))[:2]
    assert run("predict", "--model", trained, "--source", *files, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in answer["predictions"]] == [str(file) for file in files]
    assert [answer["label_names"][row["labels"][0]] for row in answer["predictions"]] == ["red", "red"]
    assert run("predict", "--model", trained, "--source", colours / "blue") == 0
    assert "blue 1.000" in capsys.readouterr().out


def test_predict_saves_pictures(trained: Path, colours: Path, tmp_path: Path, capsys) -> None:
    code = run("predict", "--model", trained, "--source", colours / "red" / "0.png", "--save_images")
    assert code == 0, capsys.readouterr().err
    assert len(list((trained / "predictions").rglob("0.jpg"))) == 1


def test_predict_writes_its_answers(trained: Path, colours: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    code = run("predict", "--model", trained, "--source", colours, "--output", out, "--output_format", "coco")
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert f"Predictions written: {out}" in printed.err
    assert "10 blue, 10 red in 20 images" in printed.out
    coco = COCO(str(out))
    assert next(iter(coco.loadImgs(coco.getImgIds())))["file_name"] == "colours/blue/0.png"
    assert len(coco.getAnnIds(catIds=coco.getCatIds(["red"]))) == 10

    assert run("predict", "--model", trained, "--output", tmp_path / "test.csv") == 0
    assert re.search(r"image +answer +truth", capsys.readouterr().out)
    rows = list(csv.DictReader((tmp_path / "test.csv").open()))
    assert [row["label"] for row in rows] == [row["truth"] for row in rows] == ["blue", "red"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--output_format", "coco"),
            "--output_format coco needs a file or folder to write to, such as --output answers.json.",
        ),
        (("--output", "out.json", "--output_format", "coc"), "--output_format coc is not a format of predictions. Did"),
        (("--output", "out.json", "--save_media"), "has no place for images"),
        (
            ("--output", "out", "--output_format", "dota"),
            "--output_format dota cannot store predictions of classification. Use",
        ),
    ],
)
def test_predict_refuses_an_output_before_it_answers(trained: Path, calls, colours, words, said: str, capsys) -> None:
    assert run("predict", "--model", trained, "--source", colours, *words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_export_is_refused_by_an_engine_that_cannot(trained: Path, capsys) -> None:
    assert run("export", "--model", trained, "--format", "onnx") == 2
    said = "ToyEngine cannot export; it can train, tune, test, predict, benchmark, explain."
    assert said in capsys.readouterr().err


def test_the_config_is_there_before_training_and_repeats_it(trained: Path, calls, tmp_path: Path, capsys) -> None:
    assert calls["config_seen"]
    first = calls["options"]
    again = tmp_path / "again"
    assert run("train", "--config", trained / "config.yaml", "--work_dir", again) == 0, capsys.readouterr().err
    assert calls["options"] == first
    assert yaml.safe_load((again / "config.yaml").read_text()) == yaml.safe_load((trained / "config.yaml").read_text())
    assert set(yaml.safe_load((again / "config.yaml").read_text())) == {
        "drivetrain",
        *(set(options_of("train")) - {"work_dir", "resume", "overwrite"}),
    }


def test_paths_are_kept_absolute_and_nothing_else(toy, colours: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").touch()
    for name in ("classification", "val/accuracy", "resnet18"):
        (tmp_path / name).mkdir(parents=True)
    words = ("--model.pretrained", "weights.pth", "--model.backbone", "resnet18", "--task", "classification")
    code = run(
        "train", "--model", "MeanSmall", "--data", "colours", *words, "--metric", "val/accuracy", "--print_config"
    )
    config = yaml.safe_load(capsys.readouterr().out)
    assert code == 0
    assert config["data"] == str(colours)
    assert config["model_args"] == {"pretrained": str(tmp_path / "weights.pth"), "backbone": "resnet18"}
    assert (config["task"], config["metric"], config["model"]) == ("classification", "val/accuracy", "MeanSmall")


def test_the_command_line_overrides_config_files_in_their_order(toy, tmp_path: Path, capsys) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("model: MeanSmall\nmax_epochs: 3\nbatch_size: 4\nengine_args: {mosaic: 1.0, break: 0}\n")
    two.write_text("batch_size: 8\nengine_args: {mosaic: 0.5}\n")
    words = ("--config", one, "--engine_args.mosaic", "0.1", "--max_epochs", 9, "--config", two, "--print_config")
    assert run("train", *words) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert (config["max_epochs"], config["batch_size"]) == (9, 8)
    assert config["engine_args"] == {"mosaic": 0.1, "break": 0}


def test_a_model_may_be_written_as_class_path_and_arguments(toy, tmp_path: Path, capsys) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: {class_path: MeanSmall, init_args: {depth: 2}}\n")
    assert run("train", "--config", file, "--model.width", 5, "--print_config") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert (config["model"], config["model_args"]) == ("MeanSmall", {"depth": 2, "width": 5})


def test_data_arguments_reach_the_reader(toy, calls, colours: Path, tmp_path: Path, capsys) -> None:
    words = ("train", "--model", "MeanSmall", "--data", colours, "--work_dir", tmp_path / "w")
    assert run(*words, "--data.splits", "{train: 0.5, val: 0.25, test: 0.25}") == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "w" / "run.json").read_text())
    assert record["data"]["subsets"] == {"train": 10, "val": 5, "test": 5}
    assert yaml.safe_load((tmp_path / "w" / "config.yaml").read_text())["data_args"]["splits"]["train"] == 0.5
    assert run(*words, "--data.formt", "coco", "--overwrite") == 2
    assert "Did you mean 'format'?" in capsys.readouterr().err


def test_overwrite_and_resume(trained: Path, toy, calls, colours: Path, capsys) -> None:
    words = ("train", "--model", "MeanSmall", "--data", colours, "--work_dir", trained)
    assert run(*words) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run(*words, "--overwrite", "--max_epochs", 1) == 0
    assert calls["options"].overwrite
    assert run(*words, "--resume", "true", "--max_epochs", 4) == 0
    assert calls["options"].resume


@pytest.mark.parametrize("verb", verbs())
def test_every_argument_of_a_verb_has_help_and_a_type(verb: str) -> None:
    for option in options_of(verb).values():
        assert option.help, option.name
        assert option.type is not Any, option.name


def test_train_takes_every_option() -> None:
    assert set(TrainOptions.names()) <= set(options_of("train"))


def test_warnings_are_one_line(toy, colours: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        toy.framework_class, "build", lambda self, options=None: warnings.warn("take care", stacklevel=1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("train", "--model", "MeanSmall", "--data", colours, "--work_dir", tmp_path / "w") == 0
    assert "\nwarning: take care\n" in "\n" + capsys.readouterr().err


def test_a_run_that_left_no_checkpoint_cannot_be_tested(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "w"
    words = ("--model", "MeanSmall", "--data", colours, "--work_dir", work, "--engine_args.break", 1)
    assert run("train", *words) == 1
    assert run("test", "--model", work) == 2
    assert "is the work dir of a run (failed in epoch 1) that saved no checkpoint." in capsys.readouterr().err


def test_notes_during_a_run_are_in_the_words_of_the_command_line(toy, colours: Path, tmp_path: Path, capsys) -> None:
    class Advising(toy.framework_class):
        def fit(self, options, run, *, resume):
            run.note("There is nothing to continue; train again with overwrite=True.")
            return super().fit(options, run, resume=resume)

    class Advises(toy):
        framework_class = Advising

    import drivetrain.models.registry as registry

    registry._classes["toy"] = Advises
    for quiet in ((), ("--quiet",)):
        words = ("train", "--model", "MeanSmall", "--data", colours, "--work_dir", tmp_path / f"w{len(quiet)}", *quiet)
        assert run(*words) == 0
        assert "train again with --overwrite." in capsys.readouterr().err


def test_names_of_files_are_never_read_as_yaml(trained: Path, calls, colours: Path, tmp_path: Path, capsys) -> None:
    """A shell hands over whatever a folder holds."""
    names = ["IMG #2.png", "7.png", "null", "[1] a.png", "a: b.png", "- c.png", " d.png", "new\nline.png", "2024-01-01"]
    picture = (colours / "red" / "0.png").read_bytes()
    for name in names:
        (tmp_path / name).write_bytes(picture)
    files = [tmp_path / name for name in names]
    assert run("predict", "--model", trained, "--source", *files, "--json") == 0
    assert [item["path"] for item in json.loads(capsys.readouterr().out)["predictions"]] == list(map(str, files))
    for file in files:
        assert run("predict", "--model", trained, "--source", file, "--json") == 0
        assert [item["path"] for item in json.loads(capsys.readouterr().out)["predictions"]] == [str(file)]


@pytest.mark.parametrize("name", ["work_dir", "checkpoint", "device", "engine", "task", "metric"])
def test_an_empty_text_is_no_folder_and_no_name(toy, calls, colours: Path, tmp_path: Path, name, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("train", "--model", "MeanSmall", "--data", colours, f"--{name}", "") == 2
    assert f"--{name} '' is empty; is a variable unset? Leave --{name} out" in capsys.readouterr().err
    assert not list(tmp_path.rglob("run.json"))


def test_another_model_and_the_folder_of_the_data_are_no_place_to_resume_or_to_train(trained: Path, colours, capsys):
    assert run("train", "--work_dir", trained, "--resume", "--model", "MeanLarge") == 2
    assert f"--model MeanLarge: the run in {trained} is of MeanSmall. Leave --model out." in capsys.readouterr().err
    assert run("train", "--work_dir", trained, "--resume", "--model", "MeanSmall", "--max_epochs", 3) == 0
    assert run("train", "--model", "MeanSmall", "--data", colours, "--work_dir", colours) == 2
    assert "is the folder of the data. Give another --work_dir." in capsys.readouterr().err
