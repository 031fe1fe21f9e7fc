"""A registry of its own for each test, so that neither installed engines nor other tests are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drivetrain.models import registry
from drivetrain.models.spec import EngineSpec


@pytest.fixture
def only_engines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``only_engines(spec, ...)`` makes these all the engines there are; nothing is registered before the call."""

    def set_engines(*specs: EngineSpec) -> None:
        monkeypatch.setattr(registry, "_from_packages", {spec.name: spec for spec in specs})

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_classes", {})
    set_engines()
    return set_engines


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache-of-the-test"
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(folder))
    return folder
