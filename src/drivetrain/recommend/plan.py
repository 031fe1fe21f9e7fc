"""The plan of a training: each decision with its value and its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset

#: Decisions that are arguments of the engine's constructor, or of the reading of the data, and not of ``train``.
_OF_ENGINE = ("task", "engine", "model", "model_args")
_NARROWEST = 60


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice.

    Attributes:
        name: of the option that overrides it.
        value: plain data; ``None`` for advice that sets nothing.
        reason: one sentence.
        given: whether the user chose it.
    """

    name: str
    value: Any
    reason: str
    given: bool = False

    @property
    def text(self) -> str:
        """The value as it is shown."""
        if isinstance(self.value, Mapping):
            return ", ".join(f"{name}={_short(value)}" for name, value in self.value.items())
        if isinstance(self.value, list | tuple):
            return " ".join(map(str, self.value))
        return "-" if self.value is None else str(self.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be trained and why.

    Attributes:
        decisions: in the order in which they were made.
        warnings: what is wrong with the data for training, and what would mend it.
        dataset: the data as they were read and divided.
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
        """The reason of a decision.

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
        """The plan with the options that the user gave in place of what was chosen.

        ``engine_args`` are merged name by name; all other options replace the decision of their name.
        """
        return replace(self, decisions=tuple(_overridden(item, given) for item in self.decisions))

    def as_recorded(self, record: Mapping[str, Any]) -> Plan:
        """The plan with the values for ``train`` that an earlier run was begun with.

        Args:
            record: the content of its ``run.json``; without a plan in it this one is handed back.
        """
        rows = (record.get("plan") or {}).get("decisions") or []
        names = set(TrainOptions.names())
        earlier = [Decision(**row) for row in rows if row["name"] in names]
        return (
            replace(self, decisions=(*(i for i in self.decisions if i.name not in names), *earlier)) if rows else self
        )

    def written_into(self, config: Mapping[str, Any], model_args: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the command line with those of the plan in their place, so that nothing is left to be chosen.

        Args:
            config: the options that were given.
            model_args: of the model as it is made.
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
            width: of the terminal in characters, at which reasons are broken; ``None`` for lines of any length.
        """
        names = max(len(item.name) for item in self.decisions)
        texts = max(len(item.text) for item in self.decisions if len(item.text) <= 40)
        lines = ["What will be trained, and why (an option of the same name overrides each):"]
        for item in self.decisions:
            head = f"  {item.name:{names}}  {item.text:{texts}}  "
            lines += _wrapped(head, item.reason, 2 + names + 2 + texts + 2, width)
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def _short(value: Any) -> str:
    """The value, of an absolute path only its end."""
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
