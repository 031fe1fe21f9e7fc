"""Applying a sensitivity for the duration of one verb, and recommending one from measurements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drivetrain.engine.early import Start
from drivetrain.engine.state import EngineState
from drivetrain.errors import UnsupportedOptionError
from drivetrain.types import Metrics
from drivetrain.types.options import check_sensitivity

_DIGITS = (2, 3, 4, 5, 6)
_WANTED_RECALL = 0.95


def check_early_sensitivity(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse a sensitivity that is wrong for any model, or that the task cannot use.

    Raises:
        OptionError: the message says what is allowed.
    """
    check_sensitivity(given["sensitivity"], start.task)


@contextmanager
def at_sensitivity(engine: EngineState, sensitivity: float | None) -> Iterator[None]:
    """Within the block, let the framework answer at a sensitivity; by default at the model's own.

    Raises:
        OptionError: it is not a number in 0..1.
        UnsupportedOptionError: the model has no sensitivity.
    """
    check_sensitivity(sensitivity, None if sensitivity is None else engine.task)
    if sensitivity is None:
        yield
        return
    framework = engine.framework
    framework.sensitivity = float(sensitivity)
    try:
        if framework.used_sensitivity() is None:
            raise UnsupportedOptionError(
                f"sensitivity={sensitivity} cannot be honoured: {engine.setup.model_name} has none. Leave it out."
            )
        yield
    finally:
        framework.sensitivity = None


def with_sensitivities(metrics: Metrics, used: float | None) -> Metrics:
    """Add to the table of thresholds the sensitivity that each row needs, and which one to choose.

    Args:
        metrics: metrics with ``tables["thresholds"]``, see :func:`drivetrain.metrics.anomaly.anomaly`; others are
            returned unchanged.
        used: the sensitivity that the scores were made with; ``None`` if the model has none.
    """
    rows = metrics.tables.get("thresholds")
    if not rows or used is None:
        return metrics
    named = [{**row, "sensitivity": used if row["now"] else _between(row["scores"], used)} for row in rows]
    tables = {**metrics.tables, "thresholds": named}
    if text := _advice(named):
        tables["threshold_advice"] = text
    return Metrics(dict(metrics), per_class=metrics.per_class, tables=tables, count=metrics.count)


def _between(scores: tuple[float | None, float], used: float) -> float | None:
    """A short number that makes the upper score anomalous and the lower one normal; ``None`` if none in 0..1 does.

    It is midway between the two, so that new images have the same margin on both sides.
    """
    from drivetrain.runtime.postprocess.sensitivity import sensitivity_for

    lower, upper = scores
    least = max(0.0, sensitivity_for(upper, used))
    most = 1.0 if lower is None else min(1.0, sensitivity_for(lower, used))
    if least >= most:
        return None
    middle = (least + most) / 2
    return next((short for digits in _DIGITS if least < (short := round(middle, digits)) < most), middle)


def _advice(rows: list[dict[str, Any]]) -> str:
    usable = [row for row in rows if row["sensitivity"] is not None and math.isfinite(row["recall"])]
    found = []
    enough = min((row for row in usable if row["recall"] >= _WANTED_RECALL), key=_false_alarms, default=None)
    if enough is not None and enough["missed"]:
        found.append(
            f"sensitivity {enough['sensitivity']:g} for {enough['recall']:.0%} recall with "
            f"{enough['false_alarm_rate']:.0%} false alarms"
        )
    whole = min((row for row in usable if not row["missed"]), key=_false_alarms, default=None)
    if whole is not None:
        found.append(
            f"sensitivity {whole['sensitivity']:g} for 0 missed with {whole['false_alarm_rate']:.0%} false alarms"
        )
    return f"On these images: {'; '.join(found)}." if found else ""


def _false_alarms(row: Mapping[str, Any]) -> tuple[int, int, bool]:
    return row["false_alarms"], row["missed"], not row["now"]
