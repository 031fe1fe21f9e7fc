"""The options of a verb, read from the signatures of the engine."""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import sys
import types
import typing
from argparse import ArgumentError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from drivetrain.engine import Engine
from drivetrain.engine.objects import OBJECTS
from drivetrain.engine.verbs import verbs_of
from drivetrain.errors import OptionError, near

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Kind = Literal["value", "flag", "list", "mapping", "object"]

_ANYTHING: Mapping[str, Any] = {"source": str | list[str]}
#: Arguments whose absence has a message of its own.
_SAY_IT_THEMSELVES = ("model", "data", "source")
_DATA_ARGS = "arguments of load_dataset, such as format, when the data are a path."


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a command.

    Attributes:
        name: as written after ``--`` and in a config file.
        type: the type that jsonargparse checks the value against.
        default: the value if the option is not given.
        help: the help text from the docstring.
        kind: how many values it takes, and of what sort.
        owner: ``"engine"`` for arguments of the constructor, else the verb.
    """

    name: str
    type: Any
    default: Any
    help: str
    kind: Kind
    owner: str


@cache
def verbs() -> tuple[str, ...]:
    """The public methods of the engine, in the order in which they are written: these are the commands."""
    return tuple(verbs_of(Engine))


@cache
def options_of(verb: str) -> Mapping[str, Option]:
    """The options of a verb by name: those of the constructor, then its own.

    A parameter of the verb that the constructor also has (``data`` of ``test``) is the constructor's.
    """
    options = dict(_read(Engine.__init__, Engine, "engine"))
    options["data_args"] = Option("data_args", dict | None, None, _DATA_ARGS, "mapping", "engine")
    method = getattr(Engine, verb)
    own = _read(method, method, verb)
    return {**options, **{name: option for name, option in own.items() if name not in options}}


def summary_of(verb: str) -> str:
    """The first line of the verb's docstring."""
    return (inspect.getdoc(getattr(Engine, verb)) or "").partition("\n")[0]


def _read(function: Callable[..., Any], documented: Any, owner: str) -> dict[str, Option]:
    from docstring_parser import parse

    items = parse(inspect.getdoc(documented) or "").params
    helps = {item.arg_name: " ".join((item.description or "").split()) for item in items}
    hints = _hints(function)
    options = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        kind, checked = _kind(name, hints[name])
        options[name] = Option(name, checked, parameter.default, helps.get(name, ""), kind, owner)
    return options


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters; the return type is omitted, since its name is only imported for type checkers."""
    texts = {name: text for name, text in function.__annotations__.items() if name != "return"}
    probe = types.SimpleNamespace(__annotations__=texts)
    return typing.get_type_hints(probe, globalns=vars(sys.modules[function.__module__]))


def _kind(name: str, hint: Any) -> tuple[Kind, Any]:
    """How the command line parses a parameter of this type; no option is ever checked against ``Any``."""
    if name in OBJECTS:
        return "object", None
    if hint is Any:
        checked = _ANYTHING.get(name, str)
        return ("list" if name in _ANYTHING else "value"), checked | None
    if bool in _parts(hint):
        return "flag", hint
    origins = {get_origin(part) for part in _parts(hint)}
    if Mapping in origins:
        words = [part for part in _parts(hint) if get_origin(part) is Literal]
        return "mapping", functools.reduce(operator.or_, words, dict | None)
    if origins & {Sequence, tuple, list}:
        return "list", hint
    return "value", hint


def check_values(options: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the types of their options; strings are parsed as YAML unless the option is a string itself.

    Raises:
        OptionError: a value has a wrong type; the message says which are allowed.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(allow_abbrev=False, exit_on_error=False, default_env=False)
    for name in given:
        if options[name].kind != "object":
            parser.add_argument(f"--{name}", type=options[name].type)
    return {name: _check_value(parser, options[name], value) for name, value in given.items()}


def holds_texts(option: Option) -> bool:
    """Whether an option takes a list of paths: names of files are taken as they are, and never read as YAML."""
    lists = [part for part in _parts(option.type) if get_origin(part) in (Sequence, list)]
    return any(str in _parts(get_args(part)[0]) for part in lists)


def _check_value(parser: ArgumentParser, option: Option, value: Any) -> Any:
    if option.kind == "object" or (value is None and option.default is None):
        return value
    _require_text(option, value)
    if isinstance(value, str) and holds_texts(option):
        return value if str in _parts(option.type) else [value]
    if float in _parts(option.type) and str(value).lower().strip("+-") in ("inf", "infinity", "nan"):
        return float(value)  # refused by the check of its option, not for its type
    try:
        return _parse(parser, option.name, value)
    except ArgumentError as error:
        if option.kind == "list" and isinstance(value, str):
            with contextlib.suppress(ArgumentError):
                return _parse(parser, option.name, [value])
        choices = choices_of(option)
        hint, allowed = near(str(value), choices), ", ".join(choices) or type_text(option)
        raise OptionError(f"--{option.name} {_shown(value)} is not allowed.{hint} Allowed: {allowed}.") from error


def _require_text(option: Option, value: Any) -> None:
    """Refuse an empty text where a folder, file or name belongs; what is given without it has words of its own.

    Raises:
        OptionError: the text is empty, as that of a variable that is not set.
    """
    if option.name in _SAY_IT_THEMSELVES or option.kind == "mapping" or not isinstance(value, str) or value.strip():
        return
    if str in _parts(option.type) or Path in _parts(option.type) or holds_texts(option):
        raise OptionError(
            f"--{option.name} {value!r} is empty; is a variable unset? Leave --{option.name} out, or give a value."
        )


def _parse(parser: ArgumentParser, name: str, value: Any) -> Any:
    if isinstance(value, str) and value:
        return parser.parse_args([f"--{name}={value}"], defaults=False)[name]
    return parser.parse_object({name: value}, defaults=False)[name]


def choices_of(option: Option) -> list[str]:
    """The values that a Literal allows, else an empty list."""
    literals = [part for part in _parts(option.type) if get_origin(part) is Literal]
    return [str(choice) for part in literals for choice in get_args(part)]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else repr(value)


def type_text(option: Option) -> str:
    """The type in words, such as "a whole number or [a whole number, a whole number]"."""
    return " or ".join(word for word in map(_word, _parts(option.type)) if word)


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _word(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", dict: "a mapping"}
    if hint in words or hint in (type(None), Path):
        return words.get(hint, "")
    inside = " or ".join(filter(None, map(_word, _parts(get_args(hint)[0]))))
    if get_origin(hint) is tuple:
        return f"[{', '.join(filter(None, map(_word, get_args(hint))))}]"
    return f"a list, each {inside}"
