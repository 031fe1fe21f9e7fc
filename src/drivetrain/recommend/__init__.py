"""Auto-configuration: choosing from the data and the machine what to train and how, with the reason for each choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.recommend.make import recommend
    from drivetrain.recommend.plan import Decision, Plan

_PUBLIC = {
    "Decision": "drivetrain.recommend.plan:Decision",
    "Plan": "drivetrain.recommend.plan:Plan",
    "recommend": "drivetrain.recommend.make:recommend",
}

__all__ = ["Decision", "Plan", "recommend"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain.recommend' has no attribute {name!r}")
    value = import_object(_PUBLIC[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
