"""The record of a run as flat names and strings, the form in which trackers show parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEFT_OUT = ("parts", "status", "notes", "schema", "tracking", "label_names", "history", "metrics")


def parameters(record: Mapping[str, Any]) -> dict[str, str]:
    """Options and environment as strings: ``"options.batch_size": "8"``, ``"environment.versions.torch": "2.9"``.

    Args:
        record: the content of ``run.json``.
    """
    kept = {name: value for name, value in record.items() if name not in _LEFT_OUT}
    return {name: str(value) for name, value in _flat(kept, "").items() if value is not None}


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
