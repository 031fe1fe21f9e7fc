"""``drivetrain find`` and ``drivetrain info``."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivetrain.cli import find
from drivetrain.cli import help as help_texts
from drivetrain.cli.main import main
from drivetrain.models import catalog
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import ImageSpec, Task


def output_of(capsys, *words: object) -> str:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def test_find_lists_filters_and_counts(toy, capsys) -> None:
    out = output_of(capsys, "find")
    assert "toy:MeanSmall" in out
    assert "toy:MeanLarge" in out
    assert "2 models." in out
    out = output_of(capsys, "find", "LARGE", "--engine", "toy", "--task", "classification")
    assert "toy:MeanSmall" not in out
    assert "1 model." in out
    assert "No model matches." in output_of(capsys, "find", "--task", "detection")
    assert "... and 1 more of toy; --limit 2 shows all." in output_of(capsys, "find", "--limit", 1)
    assert output_of(capsys, "find", "--names") == "toy:MeanSmall\ntoy:MeanLarge\n"
    rows = json.loads(output_of(capsys, "find", "small", "--json"))
    assert rows == [
        {
            "name": "toy:MeanSmall",
            "engine": "toy",
            "tasks": ["classification"],
            "family": "mean",
            "class_path": "toys:Mean",
            "summary": "The mean colour.",
            "licences": {"code": "MIT", "weights": "unknown"},
        }
    ]


def test_find_leaves_out_what_is_not_known_to_be_permissive(toy, capsys) -> None:
    assert "MIT, unknown" in output_of(capsys, "find", "small")
    assert output_of(capsys, "find", "--licence", "permissive", "--names") == "toy:MeanLarge\n"


def test_a_long_list_is_shown_by_family(toy, monkeypatch, capsys) -> None:
    names = [(f"net{n}", "classification") for n in range(50)] + [(f"tf_big{n}", "detection") for n in range(5)]
    models = [catalog.ModelEntry(name, "toy", (task,), "toys:Mean") for name, task in names]
    monkeypatch.setattr(find, "list_models", lambda *_, **__: models)
    out = output_of(capsys, "find")
    assert "toy:net..." in out
    assert "toy:tf_big..." in out
    assert "net0, net1, net2, net3" in out
    assert "55 models of toy" in out
    assert "net49" in output_of(capsys, "find", "--limit", 100)


def test_find_says_what_is_not_installed(toy, monkeypatch, capsys) -> None:
    monkeypatch.setattr(type(toy.spec), "missing", property(lambda self: ("toys",)))
    assert "Not installed: toy: pip install toys" in output_of(capsys, "find", "xyz")


def test_the_arguments_of_a_model(toy, capsys) -> None:
    for words in (["--model.help", "MeanSmall"], ["--model.help=MeanSmall"], ["--model", "MeanSmall", "--model.help"]):
        out = output_of(capsys, "train", *words)
        assert "toy:MeanSmall: The mean colour." in out
        assert "depth = 3 (int)\n      How deep it looks." in out


def test_help_names_only_what_was_listed_before(toy, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(catalog, "_ask_in_child", lambda source: pytest.fail("--help listed models"))
    text = output_of(capsys, "train", "--help")
    assert "MODEL is a name;" in text
    assert "not listed yet; 'drivetrain find' lists them" in text
    assert not (tmp_path / "empty").exists()


def listing_of(*names: str, families: int) -> catalog.Listing:
    entries = [
        catalog.ModelEntry(name, "toy", ("classification",), "toys:Mean", f"family{number % families}")
        for number, name in enumerate(names)
    ]
    return catalog.Listing("toy", "1", tuple(entries), {})


def test_help_names_the_models_by_engine(toy, monkeypatch, capsys) -> None:
    assert "toy:MeanSmall" in output_of(capsys, "find", "--names")
    assert "  toy (2, engine toy): MeanSmall, MeanLarge\n" in output_of(capsys, "train", "--help")
    many = [f"net{number}" for number in range(100)]
    monkeypatch.setattr(help_texts, "cached_listing", lambda source: listing_of(*many, families=2))
    text = " ".join(output_of(capsys, "train", "--help").split())
    assert "toy (100, engine toy): family0 (50), family1 (50); 'drivetrain find toy:NAME' lists them" in text
    monkeypatch.setattr(help_texts, "cached_listing", lambda source: listing_of(*many, families=1))
    text = " ".join(output_of(capsys, "train", "--help").split())
    assert "such as net0, net20, net40, net60, net80; 'drivetrain find toy:' lists them" in text


def test_help_shows_every_option(toy, capsys) -> None:
    text = " ".join(output_of(capsys, "train", "--help").split())
    assert "--max_epochs EPOCHS number of passes through the training images." in text
    assert "--precision {auto,fp32,fp16,bf16}" in text
    assert "--seed SEED seed of everything random. Default: 0." in text
    assert "Also one by one: --model.KEY VALUE." in text
    assert "``" not in text
    assert ":class:" not in text


def test_info_on_a_work_dir(toy, colours: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "work"
    output_of(capsys, "train", "--model", "MeanSmall", "--data", colours, "--work_dir", work, "--max_epochs", 2)
    out = output_of(capsys, "info", work)
    assert "work dir of a run, finished" in out
    assert "MeanSmall (engine toy), classification" in out
    assert "checkpoints/last.json" in out
    assert f"drivetrain repeat {work}" in out
    data = json.loads(output_of(capsys, "info", work, "--json"))
    assert data["kind"] == "work_dir"
    assert data["options"]["max_epochs"] == 2


def test_info_on_data(toy, colours: Path, capsys) -> None:
    out = output_of(capsys, "info", colours)
    assert "read as image_folder, for classification" in out
    assert "images    20" in out
    data = json.loads(output_of(capsys, "info", colours, "--json"))
    assert data["images_per_class"] == {"train": {"blue": 10, "red": 10}}
    assert (data["format"], data["task"], data["images"]) == ("image_folder", "classification", 20)


class Evil:
    def __reduce__(self):
        return print, ("it ran",)


def test_info_on_a_checkpoint_executes_nothing(toy, tmp_path: Path, capsys) -> None:
    path = tmp_path / "last.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"toy_state": 1, "x": Evil()}))
    out = output_of(capsys, "info", path)
    assert "it ran" not in out
    assert "engine      toy" in out
    assert "builtins.print" in out
    assert json.loads(output_of(capsys, "info", path, "--json"))["engines"] == ["toy"]


def test_info_on_an_artefact(toy, tmp_path: Path, capsys) -> None:
    (tmp_path / "model.onnx").write_text("x")
    spec = ImageSpec(8, 8)
    Artifact(
        tmp_path, "onnx", "fp32", Task.CLASSIFICATION, ("a",), spec, "classification", "model.onnx"
    ).write_manifest()
    assert "It was not compared with the model it was made from." in output_of(capsys, "info", tmp_path)
    assert json.loads(output_of(capsys, "info", tmp_path / "model.onnx", "--json"))["kind"] == "artifact"


def test_info_on_the_installation(toy, monkeypatch, capsys) -> None:
    both = [SimpleNamespace(metadata={"Name": name}) for name in ("opencv_python", "opencv-python-headless", "rich")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: both)
    out = output_of(capsys, "info")
    assert "toy" in out
    assert "2 wheels of OpenCV overwrite each other's files (opencv-python, opencv-python-headless)" in out
    data = json.loads(output_of(capsys, "info", "--json"))
    assert data["engines"]["toy"]["installed"] is True
    assert data["cache_dir"]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: both[1:])
    assert "overwrite" not in output_of(capsys, "info")
