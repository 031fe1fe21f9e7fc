"""Objects by class path: only subclasses of what a slot takes are ever called, and nothing else is run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivetrain.cli.main import main
from drivetrain.engine.objects import make_objects
from drivetrain.errors import OptionError

MINE = """
import pathlib

class Callback:
    __module__ = "lightning.stand_in"

class Stop(Callback):
    def __init__(self, patience: int = 3) -> None:
        if patience < 0:
            raise ValueError("patience is negative")
        self.patience = patience

class Other:
    def __init__(self) -> None:
        pathlib.Path("called").touch()

def function() -> None:
    pathlib.Path("called").touch()
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A package "mine" with classes of all sorts, one of them below what looks like Lightning's Callback."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(folder))
    work = tmp_path / "cwd"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work
    sys.modules.pop("mine", None)


def test_a_subclass_is_made_with_its_arguments(packages: Path) -> None:
    made = make_objects("callbacks", [{"class_path": "mine.Stop", "init_args": {"patience": 7}}])
    assert [(type(item).__name__, item.patience) for item in made] == [("Stop", 7)]
    assert len(make_objects("callbacks", {"class_path": "mine:Stop"})) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"class_path": "os.system", "init_args": {"command": "touch called"}}, "nothing was imported or called"),
        ({"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "called"]}}, "nothing was imported"),
        ({"class_path": "builtins.eval", "init_args": {"source": "1"}}, "nothing was imported"),
        ({"class_path": "mine.Other"}, "is not a subclass of lightning.Callback"),
        ({"class_path": "mine.function"}, "is not a class but a function; it was not called"),
        ({"class_path": "mine.Nothing"}, "cannot be imported"),
        ({"class_path": "absent.Stop"}, "is not a class of an installed package"),
        ({"class_path": "Stop"}, "is not a class of an installed package"),
        ({"class_path": "mine.Stop", "init_args": {"patence": 3}}, "Did you mean 'patience'?"),
        ({"class_path": "mine.Stop", "init_args": {"patience": -1}}, "could not be created"),
        ({"class_path": "mine.Stop", "init_args": [1]}, "must be a mapping"),
        ({"class_path": "mine.Stop", "more": 1}, "Write it as"),
        ("mine.Stop", "Write it as"),
        (3, "Write it as"),
    ],
)
def test_everything_else_is_refused(packages: Path, value: object, expected: str) -> None:
    with pytest.raises(OptionError) as caught:
        make_objects("callbacks", value)
    assert expected in str(caught.value)
    assert not list(packages.iterdir())


@pytest.mark.parametrize("slot", ["--logger", "--callbacks"])
@pytest.mark.parametrize(
    "value",
    [
        "{class_path: os.system, init_args: {command: touch called}}",
        "[{class_path: os.system, init_args: {command: touch called}}]",
        "os.system",
        "mine.function",
        "{class_path: mine.function}",
        "{class_path: mine.Other}",
        "!!python/object/apply:os.system ['touch called']",
    ],
)
def test_the_command_line_runs_none_of_them(
    toy, packages: Path, colours: Path, calls, capsys, slot: str, value: str
) -> None:
    words = ["train", "--model", "MeanSmall", "--data", str(colours), "--work_dir", str(packages / "w")]
    assert main([*words, slot, value]) == 2, capsys.readouterr().err
    assert not list(packages.iterdir())
    assert "options" not in calls


@pytest.mark.parametrize("model", ["os.system", "subprocess.Popen", "mine.function", "mine.Other", "builtins.eval"])
def test_a_model_path_that_is_no_model_is_not_called(toy, packages: Path, capsys, model: str) -> None:
    assert main(["train", "--model", model, "--model.command", "touch called"]) == 2
    assert not list(packages.iterdir())


@pytest.mark.parametrize("option", ["--engine_args", "--model_args", "--hpo_config"])
def test_a_class_path_in_a_mapping_stays_data(toy, packages: Path, capsys, option: str) -> None:
    value = "{x: {class_path: os.system, init_args: {command: touch called}}}"
    assert main(["train", "--model", "MeanSmall", option, value, "--print_config"]) == 0
    assert "class_path: os.system" in capsys.readouterr().out
    assert not list(packages.iterdir())


def test_the_toy_engine_gets_the_object(toy, packages: Path, colours: Path, tmp_path: Path, calls) -> None:
    words = ["train", "--model", "MeanSmall", "--data", str(colours), "--work_dir", str(tmp_path / "w")]
    assert main([*words, "--callbacks", "[{class_path: mine.Stop, init_args: {patience: 2}}]"]) == 0
    assert calls["options"].callbacks[0].patience == 2
    assert "class_path: mine.Stop" in (tmp_path / "w" / "config.yaml").read_text()


def test_trackers_are_named_by_words(toy, calls, colours, tmp_path, capsys) -> None:
    words = ["train", "--model", "MeanSmall", "--data", str(colours), "--work_dir", str(tmp_path / "w")]
    assert main([*words, "--logger", "csv", "tensorboard"]) == 0, capsys.readouterr().err
    assert calls["options"].logger is None
    assert list((tmp_path / "w" / "tracking" / "tensorboard").glob("events.*"))
    assert main([*words, "--overwrite", "--logger", "tensorbord"]) == 2
    assert "--logger tensorbord is not allowed. Did you mean 'tensorboard'?" in capsys.readouterr().err
