"""How to search, as a frozen, checked record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, get_args

from drivetrain.errors import OptionError
from drivetrain.types.options import Pruner, Sampler, check_at_least, check_choice, check_names


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The arguments of :meth:`drivetrain.Engine.tune` that say how to search; also the keys of ``hpo_config``.

    Raises:
        OptionError: a value is not allowed.
    """

    space: Mapping[str, Any] | None = None
    trials: int = 20
    workers: int = 1
    time_budget: float | None = None
    pruner: Pruner = "halving"
    sampler: Sampler = "tpe"

    def __post_init__(self) -> None:
        check_at_least("trials", self.trials, 1)
        check_at_least("workers", self.workers, 1)
        check_choice("pruner", self.pruner, get_args(Pruner))
        check_choice("sampler", self.sampler, get_args(Sampler))
        budget: Any = self.time_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int | float) or budget <= 0):
            raise OptionError(f"time_budget={budget!r} must be a number of seconds greater than 0.")
        if self.space is not None and (not isinstance(self.space, Mapping) or not self.space):
            raise OptionError(f"space={self.space!r} must be a mapping from names of options to the values to try.")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(item.name for item in fields(cls))

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> Self:
        """The options in an ``hpo_config``.

        Raises:
            OptionError: a key does not exist, with the nearest that does, or a value is not allowed.
        """
        given = dict(config or {})
        check_names("hpo_config", [str(name) for name in given], cls.names())
        return cls(**given)
