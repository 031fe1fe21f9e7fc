"""Which methods of the engine are verbs: all public ones, unless they say otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK = "__no_verb__"


def no_verb(method: _F) -> _F:
    """Mark a public method that is for programs only; the command line does not offer it."""
    setattr(method, _MARK, True)
    return method


def verbs_of(cls: type) -> tuple[str, ...]:
    """The verbs of an engine in the order in which they are written, those of its bases first."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    return tuple(name for name, value in found.items() if inspect.isfunction(value) and not hasattr(value, _MARK))
