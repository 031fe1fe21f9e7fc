"""Metrics of one or several runs as tables, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivetrain.types import Metrics
from drivetrain.types.results import lower_is_better

if TYPE_CHECKING:
    from rich.table import Table

ABSENT = "\N{EN DASH}"


def number(value: float | None) -> str:
    """A value in readable form: four decimals, or four digits if it is large or tiny; a dash for none or NaN."""
    if value is None or math.isnan(value):
        return ABSENT
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4f}"
    return f"{value:.4g}"


def metrics_table(metrics: Metrics, *, title: str = "", per_class: bool = True) -> Table:
    """The scalars, then a row per class, as a rich table.

    Args:
        metrics: the metrics.
        title: title of the table.
        per_class: whether to add the classes.
    """
    header, rows = _metric_rows(metrics, per_class=per_class)
    caption = f"{metrics.count} images" if metrics.count else None
    return _rich(header, rows, title=title, caption=caption)


def metrics_markdown(metrics: Metrics, *, per_class: bool = True) -> str:
    """The same in Markdown: one table of the scalars, and one of the classes."""
    parts = [_markdown(["metric", "value"], [[name, number(value)] for name, value in metrics.items()])]
    if per_class and metrics.per_class:
        parts.append(_markdown(*class_rows(metrics)))
    return "\n".join(parts)


def compare_table(
    runs: Mapping[str, Mapping[str, float]], *, title: str = "", names: Sequence[str] | None = None
) -> Table:
    """Several runs next to each other as a rich table: one row per run, the best of each column in bold green.

    Args:
        runs: name of the run -> its metrics (a :class:`Metrics` is one).
        title: title of the table.
        names: which metrics, in this order; by default all that any run has.
    """
    header, rows, best = _compared(runs, names)
    marked = [
        [f"[bold green]{cell}[/]" if (line, column) in best else cell for column, cell in enumerate(row)]
        for line, row in enumerate(_escaped(rows))
    ]
    return _rich(header, marked, title=title, caption=None, escape=False)


def compare_markdown(runs: Mapping[str, Mapping[str, float]], *, names: Sequence[str] | None = None) -> str:
    """The same in Markdown, with the best in bold."""
    header, rows, best = _compared(runs, names)
    marked = [
        [f"**{cell}**" if (line, column) in best else cell for column, cell in enumerate(row)]
        for line, row in enumerate(rows)
    ]
    return _markdown(header, marked)


def class_rows(metrics: Metrics) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table of classes."""
    columns = list(metrics.per_class)
    labels = list(dict.fromkeys(label for column in columns for label in metrics.per_class[column]))
    rows = [[label, *(number(metrics.per_class[column].get(label)) for column in columns)] for label in labels]
    return ["class", *columns], rows


def threshold_rows(metrics: Metrics) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of recall and false alarms; no rows if there is no such table."""
    table = metrics.tables.get("thresholds", ())
    named = any("sensitivity" in row for row in table)
    rows = [
        [
            str(row["aim"]),
            *([_sensitivity(row["sensitivity"])] if named else []),
            f"{row['recall']:.1%} ({row['missed']} missed)",
            f"{row['false_alarm_rate']:.1%} ({row['false_alarms']})",
            ABSENT if math.isnan(row["precision"]) else f"{row['precision']:.1%}",
        ]
        for row in table
    ]
    return ["threshold", *(["sensitivity"] if named else []), "recall", "false alarms", "precision"], rows


def _sensitivity(value: float | None) -> str:
    return "out of 0..1" if value is None else f"{value:g}"


def _metric_rows(metrics: Metrics, *, per_class: bool) -> tuple[list[str], list[list[str]]]:
    header, rows = class_rows(metrics) if per_class and metrics.per_class else (["class"], [])
    scalars = [name for name in metrics if name not in header]
    overall = ["all", *(number(metrics.get(name)) for name in (*header[1:], *scalars))]
    if not rows:
        return ["metric", "value"], [[name, number(value)] for name, value in metrics.items()]
    return [*header, *scalars], [overall, *([*row, *([""] * len(scalars))] for row in rows)]


def _compared(
    runs: Mapping[str, Mapping[str, float]], names: Sequence[str] | None
) -> tuple[list[str], list[list[str]], set[tuple[int, int]]]:
    """Header, rows and the positions (row, column) of the best values."""
    columns = list(names) if names is not None else list(dict.fromkeys(name for run in runs.values() for name in run))
    rows = [[run, *(number(values.get(name)) for name in columns)] for run, values in runs.items()]
    best: set[tuple[int, int]] = set()
    for column, name in enumerate(columns, start=1):
        known = {
            line: values[name]
            for line, values in enumerate(runs.values())
            if name in values and not math.isnan(values[name])
        }
        if len(known) < 2 or len(set(known.values())) < 2:
            continue
        target = min(known.values()) if lower_is_better(name) else max(known.values())
        best |= {(line, column) for line, value in known.items() if value == target}
    return ["run", *columns], rows, best


def _rich(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, caption: str | None, escape: bool = True
) -> Table:
    from rich.table import Table

    table = Table(title=title or None, caption=caption, header_style="bold")
    for index, (name,) in enumerate(_escaped([[name] for name in header])):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in _escaped(rows) if escape else rows:
        table.add_row(*row)
    return table


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    from rich.markup import escape

    return [[escape(cell) for cell in row] for row in rows]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    cleaned = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cleaned)


def optimization_lines(report: Mapping[str, Any]) -> list[str]:
    """What ``optimize`` measured, in words.

    Args:
        report: :attr:`drivetrain.Artifact.optimization`.
    """
    before, after, size, layers = report["before"], report["after"], report["bytes"], report["layers"]
    metrics = ", ".join(f"{name} {number(before[name])} -> {number(after[name])}" for name in report["metrics"])
    lines = [
        f"{metrics} on {report['images']} images of {report['subset']} (drop {report['drop']:.4f}, "
        f"allowed {report['max_drop']:g})",
        f"weights {size['before'] / 1e6:.2f} -> {size['after'] / 1e6:.2f} MB, "
        f"{size['before'] / max(size['after'], 1):.1f} times smaller",
    ]
    if "latency_ms" in report:
        times = report["latency_ms"]
        lines[1] += f"; network {times['before']:.2f} -> {times['after']:.2f} ms an image on this machine"
    if report["precision"] != "fp16":
        lines.append(f"{layers['light']} of {layers['with_weights']} layers with weights have 8 bits")
    if report["calibration"]["images"]:
        lines[-1] += f"; calibrated with {report['calibration']['images']} images ({report['calibration']['subsets']})"
    return lines


def task_metrics_line(parity: Mapping[str, Any], name: str) -> str:
    """A metric of the model and of the artefact that was exported from it, in words; ``""`` if it was not measured.

    Args:
        parity: :attr:`drivetrain.Artifact.parity`.
        name: of the metric.
    """
    found = parity.get("details", {}).get("task_metrics", {})
    if name not in found.get("model", {}) or name not in found.get("artefact", {}):
        return ""
    return (
        f"{name} {number(found['model'][name])} of the model, {number(found['artefact'][name])} of the artefact on "
        f"{found['images']} images of {found['subset']}."
    )
