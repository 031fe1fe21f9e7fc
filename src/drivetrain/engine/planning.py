"""What to train when no model is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivetrain.recommend import Plan


def make_plan(data: Any, **given: Any) -> Plan:
    """The plan for the data.

    Args:
        data: as given to the constructor of the engine.
        **given: its other arguments; those that bear on the plan are used.

    Raises:
        DrivetrainError: see :func:`drivetrain.recommend.recommend`.
    """
    from drivetrain.recommend import recommend

    names = ("task", "engine", "device", "model_args")
    return recommend(data, **{name: given[name] for name in names if given.get(name) is not None})
