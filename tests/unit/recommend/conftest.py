"""Engines that consist only of SPECs, so that choices are tested without a framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain.models.candidate import Candidate
from drivetrain.models.spec import EngineSpec
from drivetrain.types import Task


def _candidate(model: str = "here:Net", task: Task = Task.CLASSIFICATION, **more: Any) -> Candidate:
    """A candidate for auto-configuration: 10 ms per image at 100 px by default."""
    values: dict[str, Any] = {
        "image_size": 224,
        "measured_size": 112,
        "train_ms": 10.0,
        "predict_ms": 5.0,
        "quality": 0.9,
        "epochs": 20,
        "least_epochs": 5,
        **more,
    }
    return Candidate(model=model, task=task, **values)


def _spec(name: str, *candidates: Candidate, packages: tuple[str, ...] = ()) -> EngineSpec:
    """An engine that offers these models."""
    return EngineSpec(
        name=name,
        class_path="nowhere:Engine",
        install=f"pip install {name}",
        packages=packages,
        candidates=candidates,
        summary=f"What {name} does.",
    )


@pytest.fixture
def engines(only_engines: Callable[..., None], own_cache: Path) -> Callable[..., None]:
    """``engines(spec, ...)`` makes these the only engines."""
    del own_cache
    return only_engines


def _fill(folder: Path, count: int, *, size: int = 32, seed: int = 0) -> None:
    """Write ``count`` different small images into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng((seed, len(folder.parts), _hash_of(folder.name)))
    for number in range(count):
        pixels = random.integers(0, 256, (size, size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def _hash_of(text: str) -> int:
    """A number derived from a text, the same in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text))


@pytest.fixture
def candidate() -> Callable[..., Candidate]:
    """Makes a model that auto-configuration may choose."""
    return _candidate


@pytest.fixture
def spec() -> Callable[..., EngineSpec]:
    """Makes an engine that offers models."""
    return _spec


@pytest.fixture
def fill() -> Callable[..., None]:
    """Writes images into a folder."""
    return _fill
