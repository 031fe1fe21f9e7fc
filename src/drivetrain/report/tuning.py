"""The page of a search: the progress of the best value, the importance of options, and every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.report._charts import line_chart
from drivetrain.report._html import fact_list, section, table, text, write_page
from drivetrain.report.tables import ABSENT, number
from drivetrain.types.results import TrialRecord, TuneResult, lower_is_better

_MOST_CURVES = 6


def write_tuning_report(path: Path, result: TuneResult, *, definition: Mapping[str, Any]) -> Path:
    """Write the results of a search as one self-contained page.

    Args:
        path: the HTML file.
        result: the result of the search.
        definition: model, data, options and space, as plain data.

    Returns:
        The file.
    """
    model = definition.get("model")
    summary = fact_list(
        {
            "best": f"{result.metric} {number(result.value)}",
            "trials": len(result.trials),
            "pruned": result.count("pruned"),
            "failed": result.count("failed") + result.count("out of memory"),
        }
    )
    sections = [
        section("Best values", table(["option", "value"], [[name, str(value)] for name, value in result.best.items()])),
        section("History", f'<div class="charts">{_history(result)}{_curves(result)}</div>'),
        section("Importance", _importances(result.importances)),
        section("Trials", _trials(result)),
        section("Search", table(["name", "value"], [[name, str(value)] for name, value in definition.items()])),
    ]
    return write_page(path, title=f"Search of {model}", summary=summary, sections=sections)


def _history(result: TuneResult) -> str:
    """The value of each trial, and the best so far."""
    better = min if lower_is_better(result.metric) else max
    values: list[tuple[float, float]] = []
    best: list[tuple[float, float]] = []
    for trial in result.trials:
        if trial.value is None:
            continue
        values.append((float(trial.number), trial.value))
        if trial.state == "finished":
            best.append((float(trial.number), better([trial.value, *(value for _, value in best)])))
    lines = {name: points for name, points in (("best so far", best), ("trial", values)) if points}
    return line_chart(result.metric, lines, by="trial") if lines else ""


def _curves(result: TuneResult) -> str:
    """The metric by epoch of the best trials."""
    sign = 1.0 if lower_is_better(result.metric) else -1.0
    known = [trial for trial in result.trials if trial.value is not None and len(trial.curve) > 1]
    chosen = sorted(known, key=lambda trial: sign * (trial.value or 0.0))[:_MOST_CURVES]
    lines = {f"trial {trial.number}": [(float(epoch + 1), value) for epoch, value in trial.curve] for trial in chosen}
    return line_chart(f"{result.metric} of the best trials", lines) if lines else ""


def _importances(shares: Mapping[str, float]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td><meter min="0" max="1" value="{share:.4f}"></meter></td>'
        f"<td>{share:.1%}</td></tr>"
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _trials(result: TuneResult) -> str:
    names = list(dict.fromkeys(name for trial in result.trials for name in trial.values))
    header = ["trial", "state", result.metric, *names, "epochs", "seconds", "why"]
    return table(header, [_row(trial, names) for trial in result.trials], sortable=True, tall=True)


def _row(trial: TrialRecord, names: Sequence[str]) -> list[str]:
    values = [_value(trial.values[name]) if name in trial.values else ABSENT for name in names]
    why = trial.error.partition("\n")[0]
    return [
        str(trial.number),
        trial.state,
        number(trial.value),
        *values,
        str(len(trial.curve)),
        f"{trial.seconds:.1f}",
        why,
    ]


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
