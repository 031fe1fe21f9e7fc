"""A small engine of its own, registered in the test process, so that the command line is tested without a framework."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from drivetrain.engine import Engine, FitResult, Framework
from drivetrain.errors import UnsupportedError
from drivetrain.models import registry
from drivetrain.models.catalog import ModelSource
from drivetrain.models.registry import register_engine
from drivetrain.models.spec import EngineSpec
from drivetrain.types import Prediction, Task

LISTING = {
    "models": [
        {
            "name": f"Mean{size}",
            "tasks": ["classification"],
            "class_path": "toys:Mean",
            "family": "mean",
            "summary": "The mean colour.",
            "code_licence": "MIT",
            "weights_licence": weights,
        }
        for size, weights in (("Small", "unknown"), ("Large", "none"))
    ],
    "arguments": {"mean": [{"name": "depth", "type": "int", "default": "3", "help": "How deep it looks."}]},
}
TOYS = f"""
def listing():
    return {LISTING!r}
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the command line: listing models takes a process of its own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(cache))


TOY_SPEC = EngineSpec(
    name="toy",
    class_path="toys:ToyEngine",
    install="pip install toys",
    packages=("toys",),
    sources=(ModelSource("toy", "toys", "toys", "toys:listing"),),
    tasks=(Task.CLASSIFICATION,),
    hooks=("infer", "fit", "load_state"),
    checkpoint_marks=("toy_state",),
)


class ToyFramework(Framework):
    """Tells blue images from red ones, and writes down what reached it."""

    calls: ClassVar[dict[str, Any]] = {}

    @property
    def model(self) -> str:
        return "mean"

    def build(self, options: Any = None) -> None:
        self.calls["model_args"] = self.setup.model_args
        if self.setup.model_args.get("depth") == 13:
            raise UnsupportedError("depth=13 brings bad luck.")

    def fit(self, options: Any, run: Any, *, resume: bool) -> FitResult:
        self.calls["options"], self.calls["progress"] = options, run.progress
        self.calls["config_seen"] = (run.directory / "config.yaml").is_file()
        print("the framework prints this")
        subprocess.run(["echo", "its child prints this"], check=True)
        if (options.engine_args or {}).get("break"):
            raise RuntimeError("the framework broke")
        if (options.engine_args or {}).get("interrupt"):
            raise KeyboardInterrupt
        run.progress.start(epochs=options.max_epochs or 1, steps_per_epoch=1)
        for epoch in range(options.max_epochs or 1):
            run.log_epoch(epoch, {"val/accuracy": (epoch + 1) / 10, "val/auroc": float("nan")})
        last = run.checkpoints / "last.json"
        last.write_text(json.dumps({"epochs": options.max_epochs}))
        return FitResult(None, last, overrides={"batch_size": (options.batch_size, 1)} if options.batch_size else {})

    def infer(self, images: Iterable[Any], *, batch_size: int | None, confidence: float) -> Iterator[Prediction]:
        for path, image in images:
            label = int(image[..., 0].mean() > image[..., 2].mean())
            probabilities = np.eye(2, dtype=np.float32)[label]
            scores = np.ones(1, np.float32)
            yield Prediction(
                path, image.shape[:2], labels=np.array([label]), scores=scores, probabilities=probabilities
            )

    def load_state(self, checkpoint: Path) -> None:
        self.calls["loaded"] = checkpoint

    def engine_arg_names(self) -> tuple[str, ...]:
        return ("mosaic", "break", "interrupt")


class ToyEngine(Engine):
    spec = TOY_SPEC
    framework_class = ToyFramework


@pytest.fixture
def calls() -> dict[str, Any]:
    """What reached the toy engine."""
    ToyFramework.calls.clear()
    return ToyFramework.calls


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    """The engine "toy" with the models toy:MeanSmall and toy:MeanLarge; every other engine is unknown."""
    package = tmp_path / "site" / "toys.py"
    package.parent.mkdir()
    package.write_text(TOYS)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    for table in ("_from_packages", "_registered", "_classes"):
        monkeypatch.setattr(registry, table, {})
    return register_engine(TOY_SPEC)(ToyEngine)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Ten blue and ten red images in class folders."""
    folder = tmp_path / "colours"
    for name, colour in {"blue": (0, 0, 200), "red": (200, 0, 0)}.items():
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((12, 16, 3), colour, np.uint8)
            pixels[number, number] = 255
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
