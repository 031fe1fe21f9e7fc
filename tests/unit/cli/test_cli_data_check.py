"""``drivetrain data check``, and the pages that ``drivetrain data`` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain import Engine, check_dataset
from drivetrain.cli.main import main
from drivetrain.errors import DataError, OptionError

Out = pytest.CaptureFixture[str]


@pytest.fixture
def mixed(colours: Path) -> Path:
    """The colours with one blue image among the red ones, and a copy of another."""
    shutil.copy(colours / "red" / "3.png", colours / "red" / "copy.png")
    Image.fromarray(np.full((12, 16, 3), (0, 0, 190), np.uint8)).save(colours / "red" / "wrong.png")
    return colours


def test_what_is_found_is_listed_with_place_reason_and_method(mixed: Path, capsys: Out) -> None:
    assert main(["data", "check", str(mixed)]) == 0
    told = capsys.readouterr().out
    assert "Exact copies: 1\n" in told
    assert "copy.png: It has the pixels of" in told
    assert "wrong.png [red -> blue]: Of its nearest neighbours" in told
    assert "looked for labels by: the labels of the 10 nearest neighbours" in told


def test_json_has_everything(mixed: Path, capsys: Out) -> None:
    assert main(["data", "check", str(mixed), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "data_check"
    assert found["counts"]["exact_duplicate"] == 1
    assert found["statistics"]["images"] == 22
    (wrong,) = (item for item in found["findings"] if item["kind"] == "wrong_label")
    assert (Path(wrong["path"]).name, wrong["suggested_label"]) == ("wrong.png", "blue")


def test_the_answers_of_a_model_are_compared(toy: type[Engine], mixed: Path, capsys: Out) -> None:
    assert main(["data", "check", str(mixed), "--model", "toy:MeanSmall", "--limit", "0"]) == 0
    told = capsys.readouterr().out
    assert "Labels that are probably wrong: 1\n  ... and 1 more" in told
    assert "looked for labels by: confident learning" in told


def test_a_run_is_not_asked_about_what_it_has_learned(
    toy: type[Engine], mixed: Path, tmp_path: Path, capsys: Out
) -> None:
    work_dir = str(tmp_path / "run")
    assert main(["train", "--model", "toy:MeanSmall", "--data", str(mixed), "--work_dir", work_dir, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["data", "check", str(mixed), "--model", work_dir, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "The model was trained on " in found["notes"][0]
    reasons = [item["reason"] for item in found["findings"] if item["kind"] == "wrong_label"]
    assert len(reasons) == 1


def test_pages_are_written(mixed: Path, tmp_path: Path, capsys: Out) -> None:
    assert main(["data", "check", str(mixed), "--html", str(tmp_path / "check.html")]) == 0
    assert main(["data", str(mixed), "--html", str(tmp_path / "data.html")]) == 0
    assert capsys.readouterr().out.count("page      ") == 2
    assert "Labels that are probably wrong" in (tmp_path / "check.html").read_text()
    assert "Annotated images" in (tmp_path / "data.html").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--html", "page.txt"), "--html page.txt must end in .html"),
        (("--checkpoint", "last"), "--checkpoint ... applies to the answers of a model; give --model ... too"),
        (("--limit", "-1"), "--limit -1 must be 0 or more"),
        (("--modle", "x"), "Did you mean '--model'"),
    ],
)
def test_slips_are_told(mixed: Path, capsys: Out, words: tuple[str, ...], text: str) -> None:
    assert main(["data", "check", str(mixed), *words]) == 2
    assert text in capsys.readouterr().err


def test_without_a_path_the_usage_is_told(capsys: Out) -> None:
    assert main(["data", "check"]) == 2
    assert "required: path. See: drivetrain data check --help" in capsys.readouterr().err


def test_the_function_takes_an_engine_and_refuses_what_does_not_fit(toy: type[Engine], mixed: Path) -> None:
    engine = Engine("toy:MeanSmall", mixed)
    (found,) = check_dataset(mixed, model=engine).of_kind("wrong_label")
    assert Path(found.path).name == "wrong.png"
    with pytest.raises(OptionError, match=r"batch_size=... applies to the answers of a model"):
        check_dataset(mixed, batch_size=2)
    with pytest.raises(DataError, match="does not exist"):
        check_dataset(mixed / "gone")
