"""The plan of a training run: each decision with its value and its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset

#: Decisions that are arguments of the engine's constructor or of reading the data, not of ``train``.
_OF_ENGINE = ("task", "engine", "model", "model_args")
_NARROWEST = 60


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes:
        name: the option that overrides it.
        value: plain data; ``None`` for advice that sets nothing.
        reason: the reason, in one sentence.
        given: whether the user chose the value.
    """

    name: str
    value: Any
    reason: str
    given: bool = False

    @property
    def text(self) -> str:
        """The value as displayed."""
        if isinstance(self.value, Mapping):
            return ", ".join(f"{name}={_short(value)}" for name, value in self.value.items())
        if isinstance(self.value, list | tuple):
            return " ".join(map(str, self.value))
        return "-" if self.value is None else str(self.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be trained and why.

    Attributes:
        decisions: the decisions, in the order in which they were made.
        warnings: problems of the data for training, and how to fix them.
        dataset: the data as read and divided into subsets.
    """

    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...] = ()
    dataset: Dataset | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, name: str) -> Any:
        """The value of a decision.

        Raises:
            KeyError: there is no such decision.
        """
        return self._by_name()[name].value

    def __contains__(self, name: object) -> bool:
        return name in self._by_name()

    def _by_name(self) -> dict[str, Decision]:
        return {decision.name: decision for decision in self.decisions}

    def reason(self, name: str) -> str:
        """The reason for a decision.

        Raises:
            KeyError: there is no such decision.
        """
        return self._by_name()[name].reason

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor."""
        return dict(self["model_args"]) if "model_args" in self else {}

    @property
    def options(self) -> dict[str, Any]:
        """The values for ``train``."""
        names = set(TrainOptions.names())
        return {item.name: item.value for item in self.decisions if item.name in names and item.value is not None}

    def overridden(self, given: Mapping[str, Any]) -> Plan:
        """The plan with the user's options in place of the chosen ones.

        ``engine_args`` are merged by name; every other option replaces the decision of that name.
        """
        return replace(self, decisions=tuple(_overridden(item, given) for item in self.decisions))

    def as_recorded(self, record: Mapping[str, Any]) -> Plan:
        """The plan with the values for ``train`` that an earlier run was started with.

        Args:
            record: the content of its ``run.json``; without a plan in it, this plan is returned.
        """
        rows = (record.get("plan") or {}).get("decisions") or []
        names = set(TrainOptions.names())
        earlier = [Decision(**row) for row in rows if row["name"] in names]
        return (
            replace(self, decisions=(*(i for i in self.decisions if i.name not in names), *earlier)) if rows else self
        )

    def written_into(self, config: Mapping[str, Any], model_args: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the command line completed by those of the plan, so that nothing is left to be chosen.

        Args:
            config: the options given by the user.
            model_args: the final arguments of the model.
        """
        values = {**config, **{name: self[name] for name in ("task", "model") if name in self}, **self.options}
        if model_args:
            values["model_args"] = dict(model_args)
        if "splits" in self and self["splits"] is not None:
            values["data_args"] = {**(config.get("data_args") or {}), "splits": self["splits"]}
        return values

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``run.json`` and ``--json``."""
        rows = [
            {"name": item.name, "value": item.value, "reason": item.reason, "given": item.given}
            for item in self.decisions
        ]
        return {"decisions": rows, "warnings": list(self.warnings)}

    def to_text(self, width: int | None = None) -> str:
        """A table of three columns: name, value, reason.

        Args:
            width: of the terminal in characters, for wrapping reasons; ``None`` for no limit.
        """
        names = max(len(item.name) for item in self.decisions)
        texts = max(len(item.text) for item in self.decisions if len(item.text) <= 40)
        lines = ["What will be trained, and why (each can be overridden by the option of the same name):"]
        for item in self.decisions:
            head = f"  {item.name:{names}}  {item.text:{texts}}  "
            lines += _wrapped(head, item.reason, 2 + names + 2 + texts + 2, width)
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def _short(value: Any) -> str:
    """The value, shortened to the last part of an absolute path."""
    text = str(value)
    return f".../{Path(text).name}" if isinstance(value, str) and Path(text).is_absolute() else text


def _wrapped(head: str, text: str, indent: int, width: int | None) -> Sequence[str]:
    if width is None or width - indent < _NARROWEST // 2:
        return [head + text]
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * indent) or [head]


def _overridden(item: Decision, given: Mapping[str, Any]) -> Decision:
    if item.name not in given or item.name in _OF_ENGINE:
        return item
    value = given[item.name]
    if isinstance(item.value, Mapping) and isinstance(value, Mapping):
        value = {**item.value, **value}
    advice = f"; {item.text} was recommended" if item.value is not None and value != item.value else ""
    return Decision(item.name, value, f"given{advice}", given=True)
