"""The engines' declarations are true, and a new engine needs only a folder and an entry point."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.engine.framework import NEEDED, OPTIONAL, Framework
from drivetrain.engine.verbs import verbs_of
from drivetrain.engines.openvino.engine import OpenVINOEngine
from drivetrain.errors import UnsupportedError
from drivetrain.machine.packages import import_object
from drivetrain.models import registry
from drivetrain.models.spec import EngineSpec
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data, toy

OURS = [spec for spec in registry.engine_specs().values() if spec.class_path.startswith("drivetrain.")]
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to-add-an-engine.md"

INIT = """
from drivetrain import EngineSpec, Task

SPEC = EngineSpec(
    name="scratch",
    class_path="scratch_engine.engine:ScratchEngine",
    install="pip install scratch-engine",
    packages=("scratch_engine",),
    claims=("scratch_engine:Majority",),
    tasks=(Task.CLASSIFICATION,),
    hooks=("infer", "fit", "load_state"),
    checkpoint_suffixes=(".scratch",),
)
"""
MODELS = """
class Majority:
    answer = 0
"""
FRAMEWORK = """
import numpy as np

from drivetrain.engine import FitResult, Framework
from drivetrain.types import Prediction, Task
from scratch_engine.models import Majority


class ScratchFramework(Framework):
    unsupported_options = {"batch_size": "images are counted one by one; leave it out"}
    _model = None

    @property
    def model(self):
        if self._model is None:
            self.build()
        return self._model

    def build(self, options=None):
        if self._model is None:
            self._model = self.given if isinstance(self.given, Majority) else Majority()
            if self.own_checkpoint is not None:
                self.load_state(self.own_checkpoint)

    def fit(self, options, run, *, resume):
        labels = self.dataset.subset("train").image_labels
        self.model.answer = int(np.bincount(labels).argmax())
        last = run.checkpoints / "last.scratch"
        last.write_text("\\n".join([str(self.model.answer), *self.label_names]))
        run.log_epoch(0, {"train/seen": len(labels)})
        return FitResult(None, last)

    def infer(self, images, *, batch_size, confidence):
        for path, image in images:
            answer = np.eye(len(self.label_names), dtype=np.float32)[self.model.answer]
            label = np.array([self.model.answer])
            yield Prediction(path, image.shape[:2], labels=label, scores=answer[label], probabilities=answer)

    def load_state(self, checkpoint):
        answer, *names = checkpoint.read_text().split("\\n")
        self.model.answer, self.label_names, self.task = int(answer), names, Task.CLASSIFICATION
"""
ENGINE = """
from drivetrain.engine import Engine
from scratch_engine import SPEC
from scratch_engine.framework import ScratchFramework


class ScratchEngine(Engine):
    spec = SPEC
    framework_class = ScratchFramework
"""


def defined(framework: type[Framework]) -> set[str]:
    """The optional hooks that a framework does not define."""
    return {hook for hook in OPTIONAL if getattr(framework, hook) is not getattr(Framework, hook)}


def breach(spec: EngineSpec, framework: type[Framework]) -> set[str]:
    """Hooks that an engine declares but lacks, or has but does not declare; all must have ``infer``."""
    return (set(spec.hooks) - set(NEEDED)) ^ defined(framework)


@pytest.mark.parametrize(
    "spec", [*(spec for spec in OURS if not spec.missing), toy.SPEC], ids=lambda spec: str(spec.name)
)
def test_the_hooks_of_a_spec_are_those_that_its_framework_defines(spec: EngineSpec) -> None:
    framework = import_object(spec.class_path).framework_class
    assert breach(spec, framework) == set()
    assert breach(replace(spec, hooks=("infer", "tidy")), framework) == {"tidy"} | defined(framework)


def test_a_verb_needs_only_hooks_that_there_are() -> None:
    hooks = {hook for needs in verbs_of(Engine).values() for need in needs for hook in need.split("|")}
    assert hooks <= {*NEEDED, *OPTIONAL}
    assert defined(OpenVINOEngine.framework_class) == {"artifact", "cells", "features"}


def as_written(hook: str) -> str:
    """A hook with its arguments, as the guide shows it: ``fit(options, run, resume=)``."""
    value = vars(Framework)[hook]
    if isinstance(value, property):
        return hook
    _, *arguments = inspect.signature(value).parameters.values()
    words = (one.name + ("=" if one.kind is one.KEYWORD_ONLY else "") for one in arguments)
    return f"{hook}({', '.join(words)})"


@pytest.mark.parametrize("hook", [*NEEDED, *OPTIONAL])
def test_the_guide_shows_every_hook_with_its_arguments(hook: str) -> None:
    assert f"| `{as_written(hook)}` |" in GUIDE.read_text(encoding="utf-8")


def test_the_guide_names_what_else_a_framework_may_define() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    inner = {"lacks", "has_native_data"}  # called by frameworks and verbs, never replaced
    names = {name for name in vars(Framework) if not name.startswith("_")} - inner
    assert [name for name in sorted(names) if not re.search(rf"[`.]{name}\b", text)] == []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages that contains the engine, which is not announced yet."""
    folder = tmp_path / "site"
    package = folder / "scratch_engine"
    package.mkdir(parents=True)
    files = {"__init__": INIT, "models": MODELS, "framework": FRAMEWORK, "engine": ENGINE}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    for table in ("_registered", "_classes"):
        monkeypatch.setattr(registry, table, {})
    monkeypatch.setattr(registry, "_from_packages", None)
    yield folder
    for name in ("scratch_engine", *(f"scratch_engine.{name}" for name in files)):
        sys.modules.pop(name, None)


def use(images: Path, tmp_path: Path) -> None:
    """Train, test, predict and reopen the run, through the factory."""
    majority: Any = import_object("scratch_engine.models:Majority")
    engine: Any = Engine(majority(), images, work_dir=tmp_path / "run")
    assert type(engine).__module__ == "scratch_engine.engine"
    engine.progress = SilentProgress()
    engine.train(1)
    assert engine.test()["accuracy"] == pytest.approx(1 / 3)
    with pytest.raises(UnsupportedError, match="ScratchEngine cannot export; it can train, tune, test, predict"):
        engine.export()
    again: Any = Engine(tmp_path / "run")
    assert [item.labels.tolist() for item in again.predict(images)] == [
        item.labels.tolist() for item in engine.predict(images)
    ]


def test_an_engine_is_added_by_a_folder_and_an_entry_point(site: Path, tmp_path: Path) -> None:
    images = data.class_folders(tmp_path / "toys")
    installed = site / "scratch_engine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: scratch-engine\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[drivetrain.engines]\nscratch = scratch_engine:SPEC\n")
    assert "scratch" in registry.engine_specs()
    assert "scratch_engine.framework" not in sys.modules, "an engine is known before it is imported"
    use(images, tmp_path)


def test_an_engine_is_added_by_a_folder_and_register_engine(site: Path, tmp_path: Path) -> None:
    images = data.class_folders(tmp_path / "toys")
    assert "scratch" not in registry.engine_specs()
    spec = import_object("scratch_engine:SPEC")
    registry.register_engine(spec)(import_object(spec.class_path))
    use(images, tmp_path)
