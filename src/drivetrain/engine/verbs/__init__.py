"""The verbs, a module each; a method of the engine is a verb if its function stands here."""

from __future__ import annotations

import inspect
import sys


def verbs_of(cls: type) -> dict[str, tuple[str, ...]]:
    """The verbs of an engine in the order in which they are written, each with the hooks that it needs."""
    found: dict[str, tuple[str, ...]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if inspect.isfunction(value) and value.__module__.startswith(f"{__name__}."):
                found[name] = tuple(sys.modules[value.__module__].NEEDS)
    return found
