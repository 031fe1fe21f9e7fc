"""The import-linter contracts name every existing module (`make check` runs the contracts themselves)."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAY_NAME_A_FRAMEWORK = {"engines", "export", "machine", "torch_training"}
ENTRY = {"__main__"}


def top_modules() -> set[str]:
    package = ROOT / "src" / "drivetrain"
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return folders | files


def contracts() -> dict[str, dict[str, object]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        rows = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return {row["name"]: row for row in rows}


def test_the_core_contract_covers_every_module_that_is_not_an_engine() -> None:
    named = {str(name).partition(".")[2] for name in contracts()["The core names no framework"]["source_modules"]}
    machine = {f"machine.{path.stem}" for path in (ROOT / "src/drivetrain/machine").glob("[a-z]*.py")}
    assert named == (top_modules() - MAY_NAME_A_FRAMEWORK - ENTRY) | machine - {"machine.device"}


def test_the_layers_are_exhaustive_and_name_no_module_that_is_gone() -> None:
    contract = contracts()["Layers, high to low"]
    assert contract["exhaustive"] is True
    rows = [str(row) for row in contract["layers"]]
    assert not [row for row in rows if "(" in row], "an optional layer hides a module that was renamed"
    assert {name.strip() for row in rows for name in row.split("|")} == top_modules()


def test_engines_use_the_same_file_names() -> None:
    for folder in (ROOT / "src" / "drivetrain" / "engines").iterdir():
        if folder.is_dir() and not folder.name.startswith("__"):
            assert (folder / "__init__.py").exists(), folder.name
            assert (folder / "engine.py").exists(), folder.name
