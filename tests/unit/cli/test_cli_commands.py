"""A verb is one typed method of the engine, a command one typed function; nothing else is needed for either."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from drivetrain.cli import commands, signature
from drivetrain.cli.answer import Answer
from drivetrain.cli.main import main


@dataclass(frozen=True)
class Speed:
    per_second: float
    files: tuple[Path, ...]


MEASURE = '''
"""Measure: how fast the model answers."""

from pathlib import Path

from drivetrain.engine.state import EngineState
from test_cli_commands import Speed

NEEDS = ("infer",)


def measure(self: EngineState, rounds: int = 3, *, warm: bool = False):
    """Measure how fast the model answers.

    Args:
        rounds: how often to ask.
        warm: ask once before.
    """
    return Speed(rounds * (2.0 if warm else 1.0), (Path("a"),))
'''


@pytest.fixture
def with_verb(toy, monkeypatch):
    """A verb as a developer adds it: a module among the verbs, and a line in the engine."""
    module = ModuleType("drivetrain.engine.verbs.measure")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "test_cli_commands", sys.modules[__name__])
    exec(MEASURE, vars(module))
    monkeypatch.setattr(signature.Engine, "measure", module.measure, raising=False)
    signature.verbs.cache_clear()
    signature.options_of.cache_clear()
    yield
    monkeypatch.undo()
    signature.verbs.cache_clear()
    signature.options_of.cache_clear()


def test_a_new_method_is_a_verb(with_verb, capsys) -> None:
    assert main(["--help"]) == 0
    assert re.search("  measure +Measure how fast the model answers.", capsys.readouterr().out)
    assert main(["measure", "--help"]) == 0
    assert "--rounds ROUNDS" in " ".join(capsys.readouterr().out.split())
    assert main(["measure", "--model", "MeanSmall", "--rounds", "4", "--warm"]) == 0
    out = capsys.readouterr().out
    assert "per_second" in out
    assert "8.0000" in out
    assert main(["measure", "--model", "MeanSmall", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"per_second": 3.0, "files": ["a"]}
    assert main(["measure", "--model", "MeanSmall", "--round", "4"]) == 2
    assert "--round is not an option of measure. Did you mean '--rounds'" in capsys.readouterr().err


def test_a_new_function_is_a_command(toy, monkeypatch, capsys) -> None:
    def count(first: str, *, times: int = 2) -> Answer:
        """Say something several times.

        Args:
            first: what to say.
            times: how often.
        """
        return Answer([first] * times, lambda page: page.line(first * times))

    monkeypatch.setattr(count, "__module__", commands.__name__)
    count.__annotations__ = {"first": "str", "times": "int", "return": "Answer"}
    monkeypatch.setattr(commands, "count", count, raising=False)
    commands._commands.cache_clear()
    try:
        assert main(["count", "x", "--times", "3"]) == 0
        assert capsys.readouterr().out == "xxx\n"
        assert main(["count", "--help"]) == 0
        assert "how often. Default: 2." in capsys.readouterr().out
    finally:
        monkeypatch.undo()
        commands._commands.cache_clear()


def test_data_describes_and_finds_problems(toy, colours: Path, capsys) -> None:
    assert main(["data", str(colours)]) == 0
    out = capsys.readouterr().out
    assert "read as image_folder, for classification" in out
    assert "sizes     16 x 12 to 16 x 12, median 16 x 12" in out
    for number in range(1, 10):
        (colours / "red" / f"{number}.png").unlink()
    for number in range(10, 30):
        (colours / "blue" / f"{number}.png").write_bytes((colours / "blue" / "0.png").read_bytes())
    (colours / "red" / "broken.png").write_text("no image")
    assert main(["data", str(colours), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == ["The classes are unbalanced: 'blue' occurs 30 times and 'red' 1 times."]
    assert [Path(row["path"]).name for row in facts["skipped"]] == ["broken.png"]
    assert main(["data", str(colours), "--strict"]) == 2
    assert "broken.png" in capsys.readouterr().err
    assert main(["data", str(colours), "--splits", "0.5", "0.5", "0"]) == 0
    assert "(train 15, val 16)" in capsys.readouterr().out


def test_data_names_labels_that_cannot_be_learned(toy, colours: Path, tmp_path: Path, capsys) -> None:
    for subset, names in {"train": ("blue", "green"), "val": ("blue", "red")}.items():
        for name in names:
            source = colours / ("red" if name == "green" else name)
            shutil.copytree(source, tmp_path / "divided" / subset / name)
    assert main(["data", str(tmp_path / "divided")]) == 0
    assert "problem: 'red' occurs in val but never in train, so it cannot be learned." in capsys.readouterr().out


def test_data_lists_every_image_that_was_left_out(toy, colours: Path, tmp_path: Path, capsys) -> None:
    for subset in ("train", "val"):
        shutil.copytree(colours, tmp_path / "set" / subset)
    shutil.copytree(colours / "red", tmp_path / "set" / "more" / "later")
    count = len(list((colours / "red").iterdir()))
    assert main(["data", str(tmp_path / "set")]) == 0
    shown = capsys.readouterr().out
    assert f"{count} in more (neither a subset nor a class)" in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.strip().startswith("more/later")] == [
        ["more/later", ".png", str(count)]
    ]
    assert main(["data", str(tmp_path / "set"), "--json"]) == 0
    left = json.loads(capsys.readouterr().out)["left_out"]
    assert left == [
        {"folder": "more/later", "suffix": ".png", "images": count, "reason": "neither a subset nor a class"}
    ]


def test_data_tells_pictures_without_annotations(toy, colours: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(colours / "red", tmp_path / "images")
    assert main(["data", str(tmp_path / "images")]) == 0
    shown = capsys.readouterr().out
    assert "read as unannotated, without annotations" in shown
    assert "images with" not in shown
    assert main(["data", str(tmp_path / "images"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["annotated"] is False


def test_data_converts(toy, colours: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "as coco"
    words = ["data", str(colours), "--output", str(target)]
    assert main(words) == 2
    assert "--output FOLDER --output_format coco" in capsys.readouterr().err
    assert main([*words, "--output_format", "coko"]) == 2
    assert "invalid choice: 'coko'" in capsys.readouterr().err
    assert main([*words, "--output_format", "image_folder", "--save_media"]) == 0
    assert f"Written to {target}." in capsys.readouterr().out
    assert main(["info", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images_per_class"]["train"] == {"blue": 10, "red": 10}


def test_a_box_is_small_or_large(toy, tmp_path: Path, capsys) -> None:
    from PIL import Image

    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    boxes = [[0, 0, 20, 20], [0, 0, 100, 100]]
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, box in enumerate(boxes)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco))
    assert main(["data", str(tmp_path / "a.json"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["objects_per_class"] == {"nut": 2, "bolt": 0}
    assert facts["objects"]["objects"] == 2
    assert facts["objects"]["small (below 32 x 32 pixels)"] == 1
    assert facts["objects"]["large (from 96 x 96 pixels)"] == 1
    assert facts["objects"]["median share of the image"] == pytest.approx((400 + 10000) / 2 / 20000)
    assert "'bolt' of the labels never occur." in facts["problems"]
