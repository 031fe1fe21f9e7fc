"""Every package that is imported is declared, explained and pinned."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from drivetrain import list_engines
from drivetrain.machine.packages import SAME_CODE

ROOT = Path(__file__).resolve().parents[2]
#: Not needed by drivetrain: it only keeps them from the network where an upstream has brought them.
SILENCED = {"huggingface_hub", "open_clip"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(text: str) -> str:
    return normal(re.match(r"[A-Za-z0-9._-]+", text).group())


def requirements() -> dict[str, str]:
    """Every declared requirement: name -> range of versions."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    rows = [*project["dependencies"], *(row for rows in project["optional-dependencies"].values() for row in rows)]
    ranges = {requirement_name(row): re.sub(r"^[A-Za-z0-9._-]+(\[[^]]*\])?", "", row) for row in rows}
    return {name: text for name, text in ranges.items() if name != "drivetrain"}


def declared() -> set[str]:
    return set(requirements())


def pinned() -> set[str]:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {requirement_name(line) for line in lines if line and not line.startswith("#")}


def imported(folder: str) -> dict[str, str]:
    """Top-level names imported anywhere below a folder: name -> one of the files."""
    found: dict[str, str] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            found |= {name.partition(".")[0]: path.name for name in names}
    return found


def test_every_imported_package_is_declared() -> None:
    own = {"drivetrain", *sys.stdlib_module_names}
    providers = packages_distributions()
    undeclared = {
        name: file
        for name, file in imported("src").items()
        if name not in own | SILENCED and not {normal(dist) for dist in providers.get(name, [name])} & declared()
    }
    assert not undeclared


def test_every_declared_package_is_pinned() -> None:
    assert not declared() - pinned() - {"rfdetr"}  # not part of `all`, so neither installed nor tested here


def test_every_declared_package_has_its_reason_in_the_docs() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = {normal(name) for name in re.findall(r"^\| `([A-Za-z0-9._-]+)`", text, flags=re.MULTILINE)}
    assert declared() - explained == set()
    assert explained - declared() == set()


def test_engines_and_extras_name_the_same_versions() -> None:
    own = [spec for spec in list_engines().values() if spec.class_path.startswith("drivetrain.")]
    assert own
    stated = {normal(name): text for spec in own for name, text in spec.upstream.items()}
    ranges = requirements()
    found = {name: [ranges[other] for other in (name, *SAME_CODE.get(name, ())) if other in ranges] for name in stated}
    assert {name: [text] for name, text in stated.items()} == found
