"""The verbs of every engine have the same signatures: the base class defines the only contract."""

from __future__ import annotations

import importlib
import inspect

import pytest

from drivetrain import Engine, list_engines
from drivetrain.engine.verbs import verbs_of
from drivetrain.types.options import TrainOptions

VERBS = ("__init__", *verbs_of(Engine))
OWN = ("anomalib", "getitune", "lightning", "openvino", "rfdetr", "ultralytics")


def parameters(function: object) -> list[tuple[str, object, object, object]]:
    signature = inspect.signature(function)
    return [(p.name, p.kind, p.default, p.annotation) for p in signature.parameters.values()]


def engine_class(name: str) -> type[Engine]:
    """The class of an engine, also of one whose framework is not installed here."""
    module, _, attribute = list_engines()[name].class_path.partition(":")
    found: type[Engine] = getattr(importlib.import_module(module), attribute)
    return found


def test_our_own_engines_are_all_registered() -> None:
    assert set(OWN) <= set(list_engines())


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", OWN)
def test_verbs_have_the_signature_of_the_base(name: str, verb: str) -> None:
    cls = engine_class(name)
    assert issubclass(cls, Engine)
    assert parameters(getattr(cls, verb)) == parameters(getattr(Engine, verb))


@pytest.mark.parametrize("name", OWN)
def test_an_engine_adds_no_public_name(name: str) -> None:
    cls = engine_class(name)
    assert {n for n in dir(cls) if not n.startswith("_")} - {*dir(Engine)} == {"spec"}


def test_no_verb_swallows_arguments() -> None:
    kinds = {p.kind for verb in VERBS for p in inspect.signature(getattr(Engine, verb)).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_train_options_are_the_arguments_of_train() -> None:
    arguments = {p.name: p.default for p in inspect.signature(Engine.train).parameters.values() if p.name != "self"}
    assert tuple(arguments) == TrainOptions.names()
    assert set(arguments.values()) == {None}, "what is not given is None, so that a recipe or a plan can say it"
