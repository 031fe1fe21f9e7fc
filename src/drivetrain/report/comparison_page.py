"""The page of a comparison: the table, accuracy against latency, classes, and the images answered worst."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivetrain.report._html import fact_list, part, section, small_picture, table, text, write_page
from drivetrain.report._scatter import scatter_chart
from drivetrain.report.tables import ABSENT, number
from drivetrain.types.comparison import ComparedModel, Comparison

_WIDTH = 420


def write_comparison_page(
    path: str | Path,
    comparison: Comparison,
    *,
    pictures: Iterable[tuple[str, Sequence[tuple[str, NDArray[np.uint8]]]]] = (),
) -> Path:
    """Write a comparison as one self-contained page.

    Args:
        path: the HTML file; its folder is made if needed. It appears whole or not at all.
        comparison: what was found.
        pictures: of each image a caption and titled ``(H, W, 3) uint8`` RGB pictures that stand side by side.

    Returns:
        The file.
    """
    sections = [
        section("Result", _table(comparison)),
        section("Accuracy against latency", _front(comparison)),
        section("All metrics", _metrics(comparison)),
        *_classes(comparison),
        section(f"By size of the objects: {comparison.metric}", _sizes(comparison)),
        section("Artefact against model", _artefact_against_model(comparison)),
        section("Answered worst", _pictures(pictures)),
        section("Failed", _failures(comparison)),
        section("Notes", _notes(comparison)),
        section("Go on", _next(comparison)),
    ]
    title = f"Comparison on {Path(comparison.source).name or comparison.source}"
    return write_page(path, title=title, summary=_summary(comparison), sections=sections)


def comparison_rows(comparison: Comparison, *, brief: bool = False) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table, the best first and what failed last.

    Args:
        comparison: what was found.
        brief: leave out the columns on training and memory.
    """
    front = {row.name for row in comparison.front}
    ordered = [*comparison.ranked, *(row for row in comparison.models if row not in comparison.ranked)]
    header = ["model", comparison.metric, "ms", "images/s", "MB", "memory MB", "trained", "licence", "front"]
    rows = [_row(row, comparison.metric, row.name in front) for row in ordered]
    shown = [column for column, name in enumerate(header) if not brief or name not in ("memory MB", "trained")]
    return [header[column] for column in shown], [[row[column] for column in shown] for row in rows]


def _row(row: ComparedModel, metric: str, on_front: bool) -> list[str]:
    if row.state != "finished":
        return [row.name, row.state, *[ABSENT] * 6, ""]
    return [
        row.name,
        number(row.metrics.get(metric)),
        ABSENT if row.latency_ms is None else f"{row.latency_ms:.1f}",
        ABSENT if row.images_per_second is None else f"{row.images_per_second:.0f}",
        f"{row.model_bytes / 1e6:.1f}",
        f"{row.memory_bytes / 1e6:.0f}",
        _training(row),
        _licence(row.licences),
        "yes" if on_front else "",
    ]


def _training(row: ComparedModel) -> str:
    if not row.trained:
        return "no"
    epochs = "" if row.epochs is None else f"{row.epochs} epoch{'s' if row.epochs != 1 else ''}, "
    return f"{epochs}{row.train_seconds:.0f} s"


def _licence(licences: Mapping[str, str]) -> str:
    return " / ".join(dict.fromkeys(name for name in licences.values() if name and name != "none")) or ABSENT


def _summary(comparison: Comparison) -> str:
    budget = comparison.budget
    return fact_list(
        {
            "task": comparison.task.value,
            "models": len(comparison.models),
            "test images": comparison.images,
            "ranked by": comparison.metric,
            "budget": None if budget is None else f"{budget:g} s of training",
        }
    )


def _table(comparison: Comparison) -> str:
    best = comparison.ranked[:1]
    said = ""
    if best:
        fastest = min(comparison.front, key=lambda row: row.latency_ms or math.inf, default=best[0])
        said = f"<p><b>{text(best[0].name)}</b> is the most accurate ({number(best[0].metrics[comparison.metric])})"
        said += f"; <b>{text(fastest.name)}</b> is the fastest on the front.</p>" if fastest != best[0] else ".</p>"
    hint = (
        '<p class="hint">Accuracy, latency (median of one image from memory to prediction), speed (from files), and '
        "size are those of the same file. Licences: of the code / of the published weights.</p>"
    )
    return said + table(*comparison_rows(comparison), sortable=True) + hint


def _front(comparison: Comparison) -> str:
    front = {row.name for row in comparison.front}
    points = [
        (row.name, row.latency_ms, row.metrics[comparison.metric], row.name in front)
        for row in comparison.ranked
        if row.latency_ms is not None
    ]
    if not points:
        return ""
    hint = '<p class="hint">Joined: no other model is both more accurate and faster.</p>'
    return scatter_chart(points, across="latency in ms", up=comparison.metric) + hint


def _metrics(comparison: Comparison) -> str:
    rows = comparison.ranked
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    if not rows:
        return ""
    cells = [[name, *(number(row.metrics.get(name)) for row in rows)] for name in names]
    return table(["metric", *(row.name for row in rows)], cells, sortable=True)


def _classes(comparison: Comparison) -> list[str]:
    """A table for the first metric by class that all models have."""
    rows = [row for row in comparison.ranked if row.per_class]
    shared = [name for name in (rows[0].per_class if rows else ()) if all(name in row.per_class for row in rows)]
    if not shared:
        return []
    chosen = comparison.metric if comparison.metric in shared else shared[0]
    labels = list(dict.fromkeys(label for row in rows for label in row.per_class[chosen]))
    cells = [[label, *(number(row.per_class[chosen].get(label)) for row in rows)] for label in labels]
    body = table(["class", *(row.name for row in rows)], cells, sortable=True, tall=True)
    return [section(f"By class: {chosen}", body)]


def _sizes(comparison: Comparison) -> str:
    """The metric of small, medium and large objects, as COCO divides them; ``""`` where it is none of objects."""
    ranges = {"small": "below 32 x 32 pixels", "medium": "up to 96 x 96", "large": "above"}
    rows = comparison.ranked
    cells = [
        [f"{size} ({extent})", *(number(row.metrics.get(f"{comparison.metric}_{size}")) for row in rows)]
        for size, extent in ranges.items()
        if any(not math.isnan(row.metrics.get(f"{comparison.metric}_{size}", math.nan)) for row in rows)
    ]
    return table(["objects", *(row.name for row in rows)], cells) if cells else ""


def _artefact_against_model(comparison: Comparison) -> str:
    name = comparison.metric
    rows = [
        [row.name, number(row.model_metrics[name]), number(row.metrics.get(name))]
        for row in comparison.ranked
        if row.artifact and name in row.model_metrics
    ]
    return table(["model", f"{name} in its framework", f"{name} of the artefact"], rows) if rows else ""


def _pictures(pictures: Iterable[tuple[str, Sequence[tuple[str, NDArray[np.uint8]]]]]) -> str:
    parts = []
    for caption, shown in pictures:
        figures = "".join(
            part("picture", {"uri": small_picture(picture, _WIDTH, quality=88), "title": title})
            for title, picture in shown
        )
        parts.append(f'<h3>{text(caption)}</h3><div class="side">{figures}</div>')
    return "".join(parts)


def _failures(comparison: Comparison) -> str:
    rows = [[row.name, row.error] for row in comparison.models if row.state == "failed"]
    return table(["model", "why"], rows) if rows else ""


def _notes(comparison: Comparison) -> str:
    rows = [[row.name, note] for row in comparison.models for note in row.notes]
    return table(["model", "note"], rows) if rows else ""


def _next(comparison: Comparison) -> str:
    best = next((row for row in comparison.ranked if row.artifact), None)
    if best is None:
        return ""
    return f"<pre>drivetrain predict --model {text(best.artifact)} --source FOLDER --save_images</pre>"
