"""The options of a search, as a frozen record that checks itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, get_args

from drivetrain.errors import OptionError
from drivetrain.types.options import Pruner, Sampler, check_at_least, check_choice, check_names

#: Successive halving continues one trial in this many.
HALVING = 3
#: Number of trials before the first is compared with the median of the others.
MEDIAN_STARTS_AFTER = 4


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

    def what_pruning_does(self, max_epochs: int | None) -> str | None:
        """A note for the user if trials are so short or so few that pruning stops none, or decides too early.

        Args:
            max_epochs: epochs per trial.
        """
        if self.pruner == "none" or max_epochs is None:
            return None
        if max_epochs == 1:
            return f"pruner={self.pruner!r} stops no trial early, since each has only one epoch."
        if self.pruner == "median" and self.trials <= MEDIAN_STARTS_AFTER:
            return f"pruner='median' stops no trial early, since it starts after {MEDIAN_STARTS_AFTER} trials."
        if self.pruner == "halving" and max_epochs <= HALVING:
            return (
                f"With max_epochs={max_epochs}, pruner='halving' compares most trials by their first epoch alone. Give "
                f"more than {HALVING} epochs, or pruner='none'."
            )
        return None

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> Self:
        """The options given as ``hpo_config``.

        Raises:
            OptionError: a key does not exist (the message suggests the closest), or a value is not allowed.
        """
        given = dict(config or {})
        check_names("hpo_config", [str(name) for name in given], cls.names())
        try:
            return cls(**given)
        except OptionError as error:
            raise OptionError(f"hpo_config: {error}") from error
