"""The catalogue of models, with a listing in a module created for the test."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drivetrain.errors import ModelError
from drivetrain.models import catalog
from drivetrain.models.catalog import Argument, ModelSource, installed_version, listing, signature_arguments

LISTING = """
import os, pathlib, sys
ROWS = [
    {"name": "Padim", "tasks": ["anomaly"], "class_path": "stub:Padim", "family": "padim"},
    {"name": "padim", "tasks": ["anomaly"], "class_path": "stub:Other"},
    {"name": "Stfpm", "tasks": ["anomaly"], "class_path": "stub:Stfpm"},
]
def models():
    with open(pathlib.Path(__file__).with_name("asked"), "a") as file:
        file.write(os.environ["HF_HUB_OFFLINE"])
    return {"models": ROWS, "arguments": {"padim": [{"name": "backbone", "default": "'resnet18'"}]}}
def broken():
    raise RuntimeError("the upstream moved it")
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> ModelSource:
    (tmp_path / "stub_listing.py").write_text(LISTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ModelSource("stub", "pytest", "pytest", "stub_listing:models")


def test_the_package_is_asked_once_and_in_another_process(source: ModelSource, tmp_path: Path) -> None:
    first = listing(source)
    assert first is not None
    assert (first.source, first.version) == ("stub", importlib.metadata.version("pytest"))
    assert [entry.full_name for entry in first.models] == ["stub:Padim", "stub:padim", "stub:Stfpm"]
    assert first.models[0].tasks == ("anomaly",)
    assert first.arguments == {"padim": (Argument("backbone", default="'resnet18'"),)}
    assert "stub_listing" not in sys.modules
    assert listing(source) == first
    assert (tmp_path / "asked").read_text() == "1", "asked once, and offline"


def test_another_version_is_asked_again(source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(source)
    monkeypatch.setattr(catalog, "version_of", lambda name: "99.0")
    assert listing(source).version == "99.0"
    assert (tmp_path / "asked").read_text() == "11"


def test_a_damaged_cache_entry_is_made_again(source: ModelSource, own_cache: Path) -> None:
    first = listing(source)
    (entry,) = own_cache.rglob("*.json")
    for text in ("{", "[]", json.dumps({"models": [{"nonsense": 1}], "arguments": {}})):
        entry.write_text(text)
        assert listing(source) == first


def test_a_listing_that_fails_says_why_and_how_to_see_more(source: ModelSource) -> None:
    with pytest.raises(ModelError, match=r"pytest could not be listed: RuntimeError: the upstream moved it.*-m drivet"):
        listing(replace(source, listing="stub_listing:broken"))


def test_a_package_that_is_not_installed_has_no_listing(own_cache: Path) -> None:
    absent = ModelSource("absent", "a_package_that_is_not_there", "absent", "nowhere:models")
    assert installed_version(absent) is None
    assert listing(absent) is None


def test_names_are_found_exactly_or_without_regard_to_case_if_clear(source: ModelSource) -> None:
    found = listing(source)
    assert found.find("Padim").class_path == "stub:Padim"
    assert found.find("padim").class_path == "stub:Other"
    assert found.find("STFPM").name == "Stfpm"
    assert found.find("PADIM") is None
    assert found.find("Nothing") is None


def test_arguments_are_read_from_signature_and_docstring() -> None:
    class Model:
        """A model.

        Args:
            layers: which layers
                to use.
        """

        def __init__(self, layers: list[str], size: int | None = None, *args: int, rate: float = 0.5, **more: int):
            """Make it.

            Args:
                rate: how much to drop.
            """

    assert signature_arguments(Model) == [
        {"name": "layers", "type": "list[str]", "default": "", "help": "which layers to use."},
        {"name": "size", "type": "int | None", "default": "None", "help": ""},
        {"name": "rate", "type": "float", "default": "0.5", "help": "how much to drop."},
    ]
