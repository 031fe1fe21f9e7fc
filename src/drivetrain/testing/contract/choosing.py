"""Checks of choosing the engine for a model."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import MissingDependencyError, OptionError
from drivetrain.models.registry import list_engines, list_models, load_engine
from drivetrain.models.resolve import resolve
from drivetrain.testing.contract.base import Subject

VERBS = ("__init__", "train", "test", "predict", "export")
_HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "anomalib",
    "ultralytics",
    "transformers",
    "openvino",
    "datumaro",
)
_CHOOSE = """
import sys
before = set(sys.modules)
from drivetrain import explain_dispatch
print(explain_dispatch({name!r}))
loaded = sorted(({heavy!r} & set(sys.modules)) - before)
assert not loaded, f"loaded: {{loaded}}"
"""


class ChoosingChecks(Subject):
    """The registry finds the engine without importing its framework."""

    def test_is_found_by_name(self) -> None:
        """The name of the model alone is enough to find the engine."""
        assert resolve(self.model_name).spec is list_engines()[self.spec.name]
        names = {entry.full_name for entry in list_models(self.spec.name)}
        assert names, "the catalogue lists the models"

    def test_is_found_by_object(self, dataset: Path, tmp_path: Path) -> None:
        """An object of the framework is enough to find the engine, which uses this very object."""
        model = self.make_model()
        engine = Engine(model, dataset, task=self.task, work_dir=tmp_path / "work")
        assert engine.spec.name == self.spec.name
        assert engine.resolution.model is model

    def test_can_be_named_outright(self, dataset: Path, tmp_path: Path) -> None:
        """The class of the engine can be called directly, and contradictions are refused."""
        cls = load_engine(self.spec)
        engine = cls(self.model_name, dataset, work_dir=tmp_path, model_args=self.model_args or None)
        assert type(engine) is cls
        assert isinstance(self.make_engine(dataset, tmp_path), cls)
        with pytest.raises(OptionError):
            Engine(self.model_name, dataset, engine="no_such_engine")

    def test_choosing_imports_no_framework(self) -> None:
        """Finding the engine for a name does not import its framework."""
        own_module = self.spec.class_path.partition(":")[0]
        heavy = {*_HEAVY, *self.spec.packages, own_module} - {own_module.partition(".")[0]}
        code = _CHOOSE.format(name=self.model_name, heavy=heavy)
        if self.module:
            code = f"import {self.module}\n{code}"
        list_models(self.spec.name)  # the first listing queries the framework in a separate process
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{self.spec.name}: ")

    def test_verbs_have_the_signature_of_the_base(self) -> None:
        """One contract for every engine: same names, kinds, defaults and annotations, and no other public name."""
        cls = load_engine(self.spec)
        for verb in VERBS:
            assert _parameters(getattr(cls, verb)) == _parameters(getattr(Engine, verb)), verb
        assert {name for name in dir(cls) if name[0] != "_"} - {*dir(Engine)} == {"spec"}

    def test_missing_package_is_told_with_the_command(self) -> None:
        """The message says what must be installed, and how."""
        spec = replace(self.spec, packages=(*self.spec.packages, "a_package_that_is_not_there"))
        with pytest.raises(MissingDependencyError) as caught:
            resolve(self.model_name, engine=spec)
        assert str(caught.value) == (
            f"The engine {self.spec.name!r} needs a_package_that_is_not_there, which is not installed. "
            f"Install it with: {self.spec.install}"
        )


def _parameters(function: object) -> list[tuple[str, object, object, object]]:
    assert callable(function)
    signature = inspect.signature(function)
    return [(p.name, p.kind, p.default, p.annotation) for p in signature.parameters.values()]
