"""Checking the types of a verb's arguments, so that a wrong one is refused by name instead of failing deep inside."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

from drivetrain.errors import OptionError


def _is_switch(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_")  # NumPy's as well


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


#: A part of an annotation -> the check for it, and how to name it. Numbers, alone or
#: in a sequence, have a range, so each option checks its own.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (_is_switch, "true or false"),
    "str": (_is_text, "a text"),
    "Path": (_is_path, "a path"),
    "int": (_is_whole, "a whole number"),
    "Sequence": (_is_list, "a list"),
    "Mapping": (_is_mapping, "a mapping from names to values"),
}
#: A part that is covered by the description of another.
_SAID_BY = {"str": "Path"}


def require_types(function: Callable[..., Any], args: Sequence[Any], given: Mapping[str, Any]) -> None:
    """Refuse empty strings and values that the function's annotations do not allow; open annotations are not checked.

    Args:
        function: the function that is called.
        args: its positional arguments.
        given: its other arguments.

    Raises:
        OptionError: the message names the first wrong argument, and what it must be.
    """
    allowed = _allowed(function)
    for name, value in {**dict(zip(inspect.signature(function).parameters, args, strict=False)), **given}.items():
        if type(value).__name__ == "EngineData":
            raise OptionError(
                f"{name}=<engine.data> is the source of the data. Give engine.dataset, the data set itself."
            )
        kinds = allowed.get(name)
        unset = value is None and kinds != ("str",)
        if not unset and kinds is not None and not any(_TYPES[kind][0](value) for kind in kinds if kind != "None"):
            words = [_TYPES[kind][1] for kind in kinds if kind != "None" and _SAID_BY.get(kind) not in kinds]
            raise OptionError(f"{name}={value!r} must be {' or '.join(words)}.")
        if kinds is not None and isinstance(value, str) and not value.strip():
            raise OptionError(f"{name}={value!r} is empty; is a variable unset? Leave {name} out, or give a value.")


@functools.cache
def _allowed(function: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """The parts of the annotation of each parameter that is annotated with simple types only."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kinds = tuple(_parts(str(parameter.annotation)))
        if all(kind in _TYPES or kind == "None" for kind in kinds):
            found[name] = kinds
    return found


def _parts(annotation: str) -> Iterator[str]:
    """``str, Sequence, None`` of ``str | Sequence[int | str] | None``; the elements of sequences are not checked."""
    depth, name = 0, ""
    annotation = annotation.replace("Sequence[Any]", "Any").replace("Sequence[int]", "Any")
    for letter in annotation.replace(" ", "") + "|":
        if letter == "|" and depth == 0:
            yield name
            name = ""
            continue
        depth += (letter == "[") - (letter == "]")
        if depth == 0 and letter != "]":
            name += letter
