"""Every package that is imported is declared, explained and pinned."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import licences
from packaging.requirements import Requirement

from drivetrain import list_engines
from drivetrain.machine.packages import SAME_CODE

ROOT = Path(__file__).resolve().parents[2]
#: Not needed by drivetrain, which only keeps them off the network if an upstream has installed them.
SILENCED = {"huggingface_hub", "open_clip"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(text: str) -> str:
    return normal(re.match(r"[A-Za-z0-9._-]+", text).group())


def stated_requirements(*without: str) -> list[str]:
    """Every requirement in ``pyproject.toml``, except those of some extras."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(row for name, rows in extras.items() if name not in without for row in rows)]


def requirements() -> dict[str, str]:
    """Every declared requirement: name -> range of versions."""
    rows = stated_requirements()
    ranges = {requirement_name(row): re.sub(r"^[A-Za-z0-9._-]+(\[[^]]*\])?", "", row) for row in rows}
    return {name: text for name, text in ranges.items() if name != "drivetrain"}


def declared() -> set[str]:
    return set(requirements())


def pins(text: str) -> dict[str, str]:
    """The pins of a constraints file for x86_64: name -> version."""
    found = re.findall(
        r"^([\w.-]+)==([^\s;]+)(?=[\s;]|$)(?! *; *platform_machine == \"aarch64\")", text, flags=re.MULTILINE
    )
    return {normal(name): version for name, version in found}


def constraints(name: str) -> str:
    return (ROOT / "requirements" / name).read_text(encoding="utf-8")


def pinned() -> set[str]:
    return set(pins(constraints("constraints.txt")))


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
    assert not declared() - pinned()


def test_the_pins_beside_getitune_differ_only_where_they_say_so() -> None:
    ours, parts = pins(constraints("constraints.txt")), constraints("constraints-getitune.txt").split("\n# ")
    held, brought, same = (pins(part) for part in parts[-3:])
    assert [part.partition("\n")[0].split()[0] for part in parts[-3:]] == ["What", "What", "As"]
    assert {name: version for name, version in same.items() if ours.get(name) != version} == {}
    assert not set(brought) & set(ours)
    assert set(held) <= set(ours)
    assert not {name for name, version in held.items() if version == ours[name]}


def test_our_ranges_hold_what_is_pinned_beside_getitune() -> None:
    versions = pins(constraints("constraints-getitune.txt"))
    needs = [Requirement(line) for line in stated_requirements()]
    here = [(need, versions[normal(need.name)]) for need in needs if normal(need.name) in versions]
    assert len(here) > 20
    assert {need.name: version for need, version in here if version not in need.specifier} == {}


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


def test_the_docs_have_the_licences_and_sizes_of_the_metadata() -> None:
    page = licences.PAGE.read_text(encoding="utf-8")
    described = [row for row in map(licences.ROW.match, page.splitlines()) if row]
    read = [row for row in map(licences.ROW.match, licences.rewritten(page).splitlines()) if row]
    assert {normal(row["package"]) for row in described} == declared()
    assert [row["licence"] for row in described] == [row["licence"] for row in read]
    for stated, found in zip(described, read, strict=True):  # a wheel for a different Python has a different size
        sizes = [float(row["number"]) * (1000 if row["unit"] == "GB" else 1) for row in (stated, found)]
        assert abs(sizes[0] - sizes[1]) <= max(0.2, 0.3 * sizes[1]), f"{stated['package']}: {sizes}"


def test_the_docs_name_every_package_that_is_not_under_a_permissive_licence() -> None:
    section = licences.PAGE.read_text(encoding="utf-8").partition("## Licences to know about")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ") and "`" in line]
    named = {name: row[0].strip() for row in rows for name in re.findall(r"`([^`]+)`", row[1])}
    installed = licences.closure(stated_requirements("dev"))
    bound = {name: licences.licence_of(package) for name, package in installed.items()}
    bound = {name: licence for name, licence in bound.items() if not licences.is_permissive(licence)}
    found = {name: [row for pattern, row in named.items() if fnmatch(name, pattern)] for name in bound}
    unnamed = {name: bound[name] for name, licence in found.items() if not licence}
    assert not unnamed
    free = {name for name in named if name in installed and name not in bound}
    assert not free
    for name, (licence,) in found.items():
        if licence != "NVIDIA's own":
            assert bound[name].startswith(licence), f"{name}: {bound[name]}"


def test_no_extra_but_its_own_brings_ultralytics() -> None:
    brought = licences.closure(stated_requirements("dev", "ultralytics"))
    strict = {name for name, package in brought.items() if "GPL" in (licences.licence_of(package) or "")}
    assert not strict
