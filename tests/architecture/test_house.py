"""The rules of the house, and that each of them sees a breach."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest imports test files by their path
import house_exceptions as known
from house import House, ours

from drivetrain import Engine
from drivetrain.engine.verbs import verbs_of
from drivetrain.types import Task

#: Files that stand in several rooms because each room has its part of the same thing.
FORMATS = {
    "coco", "csv", "datumaro", "dota", "image_folder", "kitti", "label_studio", "labelme", "mvtec", "parquet", "voc",
    "yolo",
}  # fmt: skip
TASKS = {*(task.value for task in Task), "oriented", "dense"}
HOOKS = {"engine", "framework", "data", "build", "train", "predict", "export", "checkpoint", "states", "listing"}
MORE_OF_ENGINES = {"native", "weights", "memory", "validate", "effective_options"}


@pytest.fixture(scope="module")
def house() -> House:
    return ours()


@pytest.fixture
def breach(tmp_path: Path) -> House:
    """A small house in which every rule is broken once."""
    files = {
        "cellar/stairs.py": "from drivetrain.attic import roof\nclass Step: ...\n",
        "cellar/typed.py": "import typing\nif typing.TYPE_CHECKING:\n    from drivetrain.attic.roof import Tile\n",
        "attic/roof.py": "def f():\n    from drivetrain.cellar import stairs\n    return stairs\nclass Tile: ...\n",
        "attic/typed.py": "NAME = 'drivetrain.attic.roof:Chimney'\nclass Step: ...\n",
        "attic/reach.py": "def g(other):\n    return other._hidden\n",
        "attic/self.py": "def k():\n    from drivetrain.attic.self import k\n    return k\n",
        "attic/long.py": "def h():\n" + "    a = 1\n" * 60,
    }
    for name, text in files.items():
        path = tmp_path / "drivetrain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in ("", "cellar", "attic"):
        (tmp_path / "drivetrain" / folder / "__init__.py").write_text("")
    return House(tmp_path / "drivetrain", [["attic"], ["cellar"]])


def test_no_circle_among_imports_that_run(house: House, breach: House) -> None:
    assert house.circles() == []
    assert breach.circles() == [("drivetrain.attic.roof", "drivetrain.cellar.stairs"), ("drivetrain.attic.self",)]


def test_no_import_goes_up_not_even_for_types_alone(house: House, breach: House) -> None:
    assert [f"{item.source} -> {item.target}" for item in house.upward()] == []
    assert {(item.source, item.is_typing) for item in breach.upward()} == {
        ("drivetrain.cellar.stairs", False),
        ("drivetrain.cellar.typed", True),
    }


def test_nobody_reaches_into_another_object(house: House, breach: House) -> None:
    assert dict(house.reaches()) == {module: count for module, (count, _) in known.REACHES.items()}
    assert dict(breach.reaches()) == {"drivetrain.attic.reach": 1}


def test_the_top_of_the_package_holds_rooms_and_nothing_loose(house: House) -> None:
    files = {path.name for path in house.folder.iterdir() if path.name != "__pycache__" and not path.is_dir()}
    assert files == {"__init__.py", "__main__.py", "_version.py", "errors.py", "py.typed", "masks.py"}


def test_files_and_functions_are_short(house: House, breach: House) -> None:
    assert house.long_files(350).keys() == known.LONG_FILES.keys(), "a file that is short again leaves the list"
    assert all(size <= known.LONG_FILES[module] for module, size in house.long_files(350).items())
    long = {name.partition("@")[0] for name, lines in house.functions().items() if lines > 40}
    assert long == known.LONG_FUNCTIONS.keys()
    assert [name.partition("@")[0] for name, lines in breach.functions().items() if lines > 40] == [
        "drivetrain.attic.long:h"
    ]


def test_a_class_has_its_name_alone(house: House, breach: House) -> None:
    assert house.class_names().keys() == known.CLASS_NAMES.keys()
    assert set(breach.class_names()) == {"Step"}


def test_a_module_has_its_name_alone(house: House, breach: House) -> None:
    twice = house.module_names().keys() - FORMATS - TASKS - HOOKS - MORE_OF_ENGINES
    assert twice == known.MODULE_NAMES.keys() - HOOKS
    assert set(breach.module_names()) == {"typed"}


def test_every_class_path_in_a_text_can_be_imported(house: House, breach: House) -> None:
    missing = []
    for path in sorted(house.class_paths()):
        module, _, name = path.partition(":")
        if not hasattr(importlib.import_module(module), name):
            missing.append(path)
    assert missing == []
    assert breach.class_paths() == {"drivetrain.attic.roof:Chimney"}


def test_a_verb_is_a_module_that_imports_no_other_verb(house: House) -> None:
    verbs = verbs_of(Engine)
    package = "drivetrain.engine.verbs"
    modules = {module for module in house.trees if module.startswith(f"{package}.")}
    assert modules == {f"{package}.{verb}" for verb in verbs}
    assert [item for item in house.imports if item.source in modules and item.target in modules] == []
    assert all(needs for needs in verbs.values())
