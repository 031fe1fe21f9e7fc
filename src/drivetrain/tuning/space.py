"""The search space: option names with the values they may take."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drivetrain.errors import OptionError, either, near
from drivetrain.types.options import TrainOptions, check_names

#: Options of ``train`` that cannot be searched: name -> why.
NOT_SEARCHED: Mapping[str, str] = {
    "resume": "each trial is a separate run",
    "overwrite": "each trial has its own folder",
    "run_hpo": "it is what you are doing",
    "hpo_config": "it is what you are doing",
    "callbacks": "objects cannot be written to a file",
    "logger": "it does not change what is learned",
    "devices": "each trial trains on one device",
    "nodes": "each trial trains on one device",
    "metric": "trials are compared by one metric",
    "class_weights": "it changes the loss that trials are compared by; compare two training runs instead",
    "sampler": "compare two training runs instead",
    "tile": "compare two training runs instead",
    "adaptive_bs": "search over batch sizes instead",
    "checkpoint": "the result would not record which run it belongs to; start a search from each checkpoint",
    "engine_args": "name one of its options: engine_args.NAME",
}
_SPAN_KEYS = ("low", "high", "log", "step")
_PARTS = ("model", "engine_args")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several values."""

    values: tuple[Any, ...]

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values to check before the search starts."""
        return self.values

    @property
    def all_values(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    @property
    def size(self) -> int:
        """The number of values."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Span:
    """A number between two bounds, both inclusive."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether only integers are allowed."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values to check before the search starts."""
        return self.low, self.high

    @property
    def all_values(self) -> tuple[Any, ...]:
        """Every value; only defined if there are finitely many."""
        step = self.step or 1
        return tuple(self.low + number * step for number in range(int(self.size)))

    @property
    def size(self) -> float:
        """The number of values."""
        if self.step is None and not self.is_whole:
            return math.inf
        return int((self.high - self.low) / (self.step or 1)) + 1


Domain = OneOf | Span
Space = Mapping[str, Domain]


def parse_space(given: Mapping[str, Any]) -> dict[str, Domain]:
    """Parse a space such as ``{"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [8, 16]}``.

    ``model.NAME`` and ``engine_args.NAME`` may also be written as nested mappings.

    Raises:
        OptionError: the space is empty, or a domain is neither a list of values nor a range.
    """
    if not given:
        raise OptionError(
            "This model has no default search space. Give one: "
            + either(
                "space={'learning_rate': {'low': 0.0001, 'high': 0.01, 'log': True}, 'batch_size': [8, 16]}",
                "--space.learning_rate '{low: 0.0001, high: 0.01, log: true}' --space.batch_size '[8, 16]'",
            )
            + "."
        )
    return {name: _domain(name, value) for name, value in flat(given)}


def flat(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names with their values; nested mappings become dotted names."""
    for name, value in given.items():
        if name in _PARTS and isinstance(value, Mapping):
            yield from ((f"{name}.{part}", domain) for part, domain in value.items())
        else:
            yield str(name), value


def _domain(name: str, value: Any) -> Domain:
    if isinstance(value, Mapping):
        return _span(name, value)
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) == 0:
        raise OptionError(
            f"space: {name}={value!r} is not a search domain. Give a list of values, such as [8, 16, 32], or a range "
            "of numbers, such as {low: 0.0001, high: 0.01, log: true}."
        )
    values = [tuple(item) if isinstance(item, list) else item for item in value]
    wrong = next((item for item in values if not _is_plain(item)), None)
    if wrong is not None:
        raise OptionError(f"space: {name}: {wrong!r} is not a number, a string, true, false or null.")
    return OneOf(tuple(dict.fromkeys(values)))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _span(name: str, value: Mapping[str, Any]) -> Span:
    for key in value:
        if key not in _SPAN_KEYS:
            raise OptionError(
                f"space: {name} has no key {key!r}.{near(str(key), _SPAN_KEYS)} Allowed: low, high, log, step."
            )
    numbers = [value.get("low"), value.get("high"), value.get("step", 1)]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise OptionError(f"space: {name}={dict(value)!r}: low and high are required; all must be numbers.")
    span = Span(**value)
    if not span.low < span.high:
        raise OptionError(f"space: {name}: low={span.low!r} must be less than high={span.high!r}.")
    if span.log and (span.low <= 0 or span.step is not None):
        raise OptionError(f"space: {name}: with log, low={span.low!r} must be greater than 0, and step left out.")
    if span.step is not None and span.step <= 0:
        raise OptionError(f"space: {name}: step={span.step!r} must be greater than 0.")
    return span


def check_space(
    space: Space, options: TrainOptions, model_args: Collection[str], known_model_args: Sequence[str] | None
) -> None:
    """Refuse unknown options, options that are already fixed, and values that the options do not accept.

    Args:
        space: what is searched.
        options: the options that are the same for all trials.
        model_args: names of the model arguments that are fixed.
        known_model_args: all existing model arguments; ``None`` if unknown.

    Raises:
        OptionError: the message suggests the closest name.
    """
    searched = [name for name in TrainOptions.names() if name not in NOT_SEARCHED]
    fixed = {*options.given(), *(f"model.{name}" for name in model_args)}
    fixed |= {f"engine_args.{name}" for name in options.engine_args or {}}
    for name, domain in space.items():
        head, _, rest = name.partition(".")
        if name in NOT_SEARCHED:
            raise OptionError(f"space: {name} cannot be searched: {NOT_SEARCHED[name]}.")
        if name in fixed:
            raise OptionError(f"space: {name} is also given as an option. Leave out one of them.")
        if rest and head == "model":
            if known_model_args is not None:
                check_names("space: the model", [rest], known_model_args)
        elif not (rest and head == "engine_args"):
            check_names("space", [name], [*searched, "model.NAME", "engine_args.NAME"])
            _check_values(name, domain, options)


def _check_values(name: str, domain: Domain, options: TrainOptions) -> None:
    for value in domain.corners:
        try:
            replace(options, **{name: value})
        except OptionError as error:
            raise OptionError(f"space: {name}: {error}") from error


def applied(values: Mapping[str, Any], options: TrainOptions) -> tuple[TrainOptions, dict[str, Any]]:
    """The options and the model arguments of one trial.

    Args:
        values: the trial's values of the searched options.
        options: the options that are the same for all trials.
    """
    parts: dict[str, dict[str, Any]] = {"": {}, "model": {}, "engine_args": {}}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        parts[head if rest else ""][rest or name] = value
    if parts["engine_args"]:
        parts[""]["engine_args"] = {**(options.engine_args or {}), **parts["engine_args"]}
    return replace(options, **parts[""]), parts["model"]
