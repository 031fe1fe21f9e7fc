"""The page of a run: one self-contained HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.report._charts import charts_of, line_chart
from drivetrain.report._html import picture_uri, section, table, text, write_page
from drivetrain.report.tables import ABSENT, class_rows, number, threshold_rows
from drivetrain.types import EpochRecord, Metrics, ParityReport

_MOST_CLASSES = 40  # in a confusion matrix that is still readable
_MOST_CONFUSIONS = 20
_PICTURE_WIDTH = 640
_SHORT = 120  # characters of a value that is shown uncollapsed


def write_report(
    path: str | Path,
    *,
    title: str,
    run: Mapping[str, Any],
    metrics: Metrics | None = None,
    tests: Mapping[str, Metrics] | None = None,
    history: Sequence[EpochRecord] = (),
    pictures: Sequence[str | Path] = (),
    notes: Sequence[str] = (),
    parity: ParityReport | None = None,
) -> Path:
    """Write what a run did and achieved as one self-contained page.

    Args:
        path: the HTML file; its folder is created if needed. It is written atomically.
        title: the headline.
        run: the record of the run, any plain data.
        metrics: the metrics of the run.
        tests: headline -> the metrics of a test; shown before those of the run.
        history: one record per epoch, for the charts.
        pictures: drawn predictions, embedded at a width of at most 640 pixels.
        notes: notes for the reader, shown first.
        parity: how the exported artefact compares with the model.

    Returns:
        The file.

    Raises:
        DataNotFoundError: a picture does not exist.
        ImageError: a picture cannot be read.
    """
    sections = [
        _notes(notes),
        *(_test(headline, found) for headline, found in (tests or {}).items()),
        _metrics(metrics),
        _charts(history),
        _plan(run),
        _confusion(metrics),
        _classes(metrics),
        _thresholds(metrics),
        _parity(parity),
        _pictures(pictures),
        _record(run),
    ]
    return write_page(path, title=title, summary=_summary(run), sections=sections)


def _summary(run: Mapping[str, Any]) -> str:
    """The most important facts about the run."""
    model, options = run.get("model"), run.get("options")
    known = {**options, **run} if isinstance(options, Mapping) else dict(run)
    if isinstance(model, Mapping):
        known["model"] = model.get("name")
    facts = []
    for key in ("status", "engine", "model", "task", "device", "seed"):
        value = known.get(key)
        if isinstance(value, str | int | float) and str(value):
            facts.append(
                f'<li><span>{key}</span> <b class="{_state(key, str(value))}">{text(str(value)[:_SHORT])}</b></li>'
            )
    return f'<ul class="facts">{"".join(facts)}</ul>' if facts else ""


def _state(key: str, value: str) -> str:
    if key != "status":
        return "plain"
    return {"finished": "good", "failed": "bad", "interrupted": "bad"}.get(value, "plain")


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return f'<section class="notes"><h2>Notes</h2><ul>{items}</ul></section>' if items else ""


def _test(headline: str, metrics: Metrics) -> str:
    """One test with all that it measured, as a single section."""
    parts = [_thresholds(metrics), _classes(metrics), _confusion(metrics)]
    return section(headline, _tiles(metrics) + "".join(parts).replace("<h2>", "<h3>").replace("</h2>", "</h3>"))


def _metrics(metrics: Metrics | None) -> str:
    if not metrics:
        return ""
    images = f" on {metrics.count} images" if metrics.count else ""
    return section(f"Metrics{images}", _tiles(metrics))


def _tiles(metrics: Metrics) -> str:
    """The numbers side by side, and the framework's own to be unfolded."""
    own = {name: value for name, value in metrics.items() if not name.startswith("upstream/")}
    upstream = {name: value for name, value in metrics.items() if name.startswith("upstream/")}
    tiles = "".join(f"<li><span>{text(name)}</span><b>{number(value)}</b></li>" for name, value in own.items())
    body = f'<ul class="tiles">{tiles}</ul>' if tiles else ""
    if upstream:
        rows = [[name.removeprefix("upstream/"), number(value)] for name, value in upstream.items()]
        remark = metrics.tables.get("about_upstream", "")
        said = f'<p class="hint">{text(remark)}</p>' if remark else ""
        body += (
            f"<details><summary>The framework's own metrics</summary>{said}{table(['name', 'value'], rows)}</details>"
        )
    return body


def _charts(history: Sequence[EpochRecord]) -> str:
    figures = "".join(line_chart(title, lines) for title, lines in charts_of(history).items())
    return section("Training", f'<div class="charts">{figures}</div>' if figures else "")


def _plan(run: Mapping[str, Any]) -> str:
    """What was chosen by the data, if no model was given."""
    plan = run.get("plan")
    if not isinstance(plan, Mapping):
        return ""
    rows = [
        [str(row["name"]), ABSENT if row["value"] is None else _plain(row["value"]), str(row["reason"])]
        for row in plan["decisions"]
    ]
    warnings = "".join(f"<li>{text(warning)}</li>" for warning in plan["warnings"])
    body = table(["option", "value", "why"], rows) + (f"<ul>{warnings}</ul>" if warnings else "")
    return section("What was chosen, and why", body)


def _confusion(metrics: Metrics | None) -> str:
    matrix = metrics.tables.get("confusion_matrix") if metrics is not None else None
    if metrics is None or not matrix:
        return ""
    names = [str(name) for name in metrics.tables.get("label_names", range(len(matrix)))]
    if len(matrix) > _MOST_CLASSES:
        return section("Most frequent confusions", _confusions(matrix, names))
    head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in names)
    rows = []
    for label, (name, row) in enumerate(zip(names, matrix, strict=True)):
        total = sum(row) or 1
        cells = "".join(
            f'<td class="{"hit" if column == label else "miss"}" style="--share:{100 * count / total:.0f}%" '
            f'title="{text(name)} taken for {text(names[column])}: {count} of {sum(row)}">{count or ""}</td>'
            for column, count in enumerate(row)
        )
        rows.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    matrix_table = (
        f'<table class="confusion"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    hint = '<p class="hint">Rows: the truth. Columns: the answer. The tint is the share of the row.</p>'
    return section("Confusion matrix", f'{hint}<div class="wide">{matrix_table}</div>')


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
    return table(["truth", "answer", "images", "of the class"], rows) if rows else "<p>None.</p>"


def _classes(metrics: Metrics | None) -> str:
    if metrics is None or not metrics.per_class:
        return ""
    return section("By class", f'<div class="tall">{table(*class_rows(metrics))}</div>')


def _thresholds(metrics: Metrics | None) -> str:
    """Recall and false alarms, and the recommended sensitivity."""
    header, rows = threshold_rows(metrics) if metrics is not None else ([], [])
    if metrics is None or not rows:
        return ""
    advice = metrics.tables.get("threshold_advice")
    said = f'<p class="hint">{text(advice)}</p>' if advice else ""
    return section("Recall against false alarms", table(header, rows) + said)


def _parity(parity: ParityReport | None) -> str:
    if parity is None:
        return ""
    rows = [
        [name, f"{value:.3g}", f"{parity.tolerance[name]:.3g}" if name in parity.tolerance else ABSENT]
        for name, value in parity.max_difference.items()
    ]
    verdict = '<b class="good">passed</b>' if parity.passed else '<b class="bad">failed</b>'
    said = f"<p>{verdict}: the same decision on {parity.agreement:.1%} of {len(parity.images)} images.</p>"
    return section("Artefact against model", said + table(["quantity", "largest difference", "allowed"], rows))


def _pictures(pictures: Sequence[str | Path]) -> str:
    figures = "".join(
        f'<figure><img src="{_embedded(Path(picture))}" alt="{text(Path(picture).name)}" loading="lazy"/>'
        f"<figcaption>{text(Path(picture).name)}</figcaption></figure>"
        for picture in pictures
    )
    return section("Predictions", f'<div class="pictures">{figures}</div>' if figures else "")


def _embedded(picture: Path) -> str:
    """The picture as a data URI, scaled down if it is wide."""
    from drivetrain.images.file import NoImage, open_image

    try:
        with open_image(picture) as image:
            small = image.convert("RGB")
    except FileNotFoundError:
        raise DataNotFoundError(f"the picture {str(picture)!r} does not exist.") from None
    except NoImage as error:
        raise ImageError(f"the picture {str(picture)!r} cannot be read: {error}.") from error
    if small.width > _PICTURE_WIDTH:
        small = small.resize((_PICTURE_WIDTH, max(1, round(small.height * _PICTURE_WIDTH / small.width))))
    return picture_uri(small, quality=88)


def _record(run: Mapping[str, Any]) -> str:
    """Everything in the record: short values shown, the rest collapsed."""
    rows, folded = [], []
    for key, value in run.items():
        if isinstance(value, Mapping) and value:
            inner = [[str(name), _plain(part)] for name, part in value.items()]
            folded.append(f"<details><summary>{text(key)}</summary>{table(['name', 'value'], inner)}</details>")
        elif len(_plain(value)) > _SHORT:
            folded.append(f"<details><summary>{text(key)}</summary><pre>{text(_plain(value))}</pre></details>")
        else:
            rows.append([str(key), _plain(value)])
    body = (table(["name", "value"], rows) if rows else "") + "".join(folded)
    return section("Run", body)


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)
