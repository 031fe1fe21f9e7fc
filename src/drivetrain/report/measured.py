"""What a model reached on some images, as parts of a page: numbers, curves, confusions, classes and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivetrain.report._charts import bar_chart, line_chart
from drivetrain.report._html import part, table, text
from drivetrain.report.tables import class_rows, number, threshold_rows
from drivetrain.types import Metrics

_MOST_CLASSES = 40  # in a confusion matrix that is still readable
_MOST_CONFUSIONS = 20
_MOST_LINES = 6
_SORTED_FROM = 3  # rows that are worth sorting
_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class PageExample:
    """An image with its truth and the answer about it, ready to be shown.

    Attributes:
        name: of the image.
        kind: ``"worst"`` or ``"best"``.
        lines: what is said below it.
        pictures: the title of each picture and its data URI; they stand side by side.
    """

    name: str
    kind: str
    lines: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "kind": self.kind, "lines": list(self.lines), "pictures": list(self.pictures)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PageExample:
        """The reverse of :meth:`to_dict`."""
        pictures = tuple((str(title), str(uri)) for title, uri in plain["pictures"])
        return cls(str(plain["name"]), str(plain["kind"]), tuple(plain["lines"]), pictures)


@dataclass(frozen=True, slots=True)
class MeasuredPart:
    """What a model reached on some images.

    Attributes:
        metrics: the numbers.
        examples: images that were answered worst and best.
        said: a sentence about how it was measured.
    """

    metrics: Metrics
    examples: tuple[PageExample, ...] = ()
    said: str = ""


def measured_parts(found: MeasuredPart, *, tiles: bool = True) -> str:
    """All that was measured as HTML with headings of the third level; ``""`` for nothing."""
    metrics = found.metrics
    said = f'<p class="hint">{text(found.said)}</p>' if found.said else ""
    parts = {
        "": metric_tiles(metrics) if tiles else "",
        "Recall against false alarms": _thresholds(metrics),
        "Scores": _histogram(metrics),
        "Precision and recall": _precision_recall(metrics),
        "Confusion matrix": _confusion(metrics),
        "By class": _classes(metrics),
        "Answered worst": _pictures(found.examples, "worst"),
        "Answered best": _pictures(found.examples, "best"),
    }
    body = "".join(f"<h3>{title}</h3>{html}" if title else html for title, html in parts.items() if html)
    return said + body if body else ""


def metric_tiles(metrics: Metrics, main: str = "") -> str:
    """The numbers side by side, and the framework's own to be unfolded."""
    own = [(name, number(value)) for name, value in metrics.items() if not name.startswith("upstream/")]
    upstream = {name: value for name, value in metrics.items() if name.startswith("upstream/")}
    body = part("tiles", own, main=main) if own else ""
    if upstream:
        rows = [[name.removeprefix("upstream/"), number(value)] for name, value in upstream.items()]
        remark = metrics.tables.get("about_upstream", "")
        said = f'<p class="hint">{text(remark)}</p>' if remark else ""
        body += (
            f"<details><summary>The framework's own metrics</summary>{said}{table(['name', 'value'], rows)}</details>"
        )
    return body


def _thresholds(metrics: Metrics) -> str:
    """Recall and false alarms, and the recommended sensitivity."""
    header, rows = threshold_rows(metrics)
    if not rows:
        return ""
    advice = metrics.tables.get("threshold_advice")
    return table(header, rows) + (f'<p class="hint">{text(advice)}</p>' if advice else "")


def _histogram(metrics: Metrics) -> str:
    """How the scores of normal and anomalous images lie on both sides of the threshold."""
    counts = metrics.tables.get("score_histogram")
    if not counts:
        return ""
    hint = '<p class="hint">Images by anomaly score. From 0.5 (dashed) on, an image counts as anomalous.</p>'
    return f'{hint}<div class="charts">{bar_chart("images", counts, across="score", marked=_THRESHOLD)}</div>'


def _precision_recall(metrics: Metrics) -> str:
    """The curve of each class; with many classes their mean, the best and the worst."""
    table_of_curves = metrics.tables.get("precision_recall") or {}
    curves: dict[str, Sequence[float]] = table_of_curves.get("by_class") or {}
    if not curves:
        return ""
    recall = table_of_curves["recall"]
    shown = dict(sorted(curves.items(), key=lambda item: -sum(item[1])))
    if len(shown) > _MOST_LINES:
        names, mean = list(shown), [sum(column) / len(shown) for column in zip(*shown.values(), strict=True)]
        half = (_MOST_LINES - 1) // 2
        kept = [*names[:half], *names[-half:]]
        shown = {f"mean of {len(names)} classes": mean, **{name: shown[name] for name in kept}}
    lines = {name: list(zip(recall, curve, strict=True)) for name, curve in shown.items()}
    return f'<div class="charts">{line_chart("precision by recall", lines, by="recall")}</div>'


def _confusion(metrics: Metrics) -> str:
    matrix = metrics.tables.get("confusion_matrix")
    if not matrix:
        return ""
    names = [str(name) for name in metrics.tables.get("label_names", range(len(matrix)))]
    if len(matrix) > _MOST_CLASSES:
        return _confusions(matrix, names)
    rows = [
        {"name": name, "cells": [_cell(names, label, column, row) for column in range(len(row))]}
        for label, (name, row) in enumerate(zip(names, matrix, strict=True))
    ]
    hint = '<p class="hint">Rows: the truth. Columns: the answer. The tint is the share of the row.</p>'
    return hint + part("confusion", names, rows)


def _cell(names: Sequence[str], label: int, column: int, row: Sequence[int]) -> dict[str, Any]:
    total = sum(row)
    return {
        "count": row[column],
        "hit": column == label,
        "share": round(100 * row[column] / (total or 1)),
        "said": f"{names[label]} taken for {names[column]}: {row[column]} of {total}",
    }


def _confusions(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    pairs = sorted(
        ((count, row, column) for row, line in enumerate(matrix) for column, count in enumerate(line) if row != column),
        key=lambda item: (-item[0], item[1], item[2]),
    )
    rows = [
        [names[row], names[column], str(count), f"{count / (sum(matrix[row]) or 1):.1%}"]
        for count, row, column in pairs[:_MOST_CONFUSIONS]
        if count
    ]
    hint = '<p class="hint">The most frequent ones.</p>'
    return hint + table(["truth", "answer", "count", "of the class"], rows) if rows else "<p>None.</p>"


def _classes(metrics: Metrics) -> str:
    if not metrics.per_class:
        return ""
    header, rows = class_rows(metrics)
    return table(header, rows, sortable=len(rows) >= _SORTED_FROM, tall=True)


def _pictures(examples: Sequence[PageExample], kind: str) -> str:
    chosen = [example_view(item) for item in examples if item.kind == kind]
    return part("pairs", chosen) if chosen else ""


def example_view(item: PageExample) -> dict[str, Any]:
    """An example as the template takes it."""
    pictures = [{"title": title, "uri": uri} for title, uri in item.pictures]
    return {"name": item.name, "lines": item.lines, "pictures": pictures}
