"""The page of a run: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.report import run_facts
from drivetrain.report._charts import charts_of, line_chart, measured_once
from drivetrain.report._html import fact_list, part, section, small_picture, text, write_page
from drivetrain.report._html import notes as notes_section
from drivetrain.report.measured import MeasuredPart, PageExample, measured_parts, metric_tiles
from drivetrain.types import EpochRecord, Metrics

_PICTURE_WIDTH = 640
_SHORT = 120
_NO_RESULT = ("learning_rate",)


def write_report(
    path: str | Path,
    *,
    title: str,
    run: Mapping[str, Any],
    metrics: Metrics | None = None,
    tests: Mapping[str, MeasuredPart] | None = None,
    validation: MeasuredPart | None = None,
    history: Sequence[EpochRecord] = (),
    pictures: Sequence[str | Path] = (),
    notes: Sequence[str] = (),
    statistics: Mapping[str, Any] | None = None,
    samples: Sequence[PageExample] = (),
    artifacts: Sequence[Mapping[str, Any]] = (),
    commands: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write what a run did and achieved as one self-contained page.

    Args:
        path: the HTML file; its folder is created if needed. It is written atomically.
        title: the headline.
        run: the record of the run, any plain data.
        metrics: the metrics of the run, the one that selected its best state first.
        tests: headline -> a test; the newest first.
        validation: what was measured on validation images after the training.
        history: one record per epoch, for the charts.
        pictures: drawn predictions, embedded at a width of at most 640 pixels.
        notes: notes for the reader, shown first.
        statistics: of the data, see :func:`drivetrain.data.describe.describe`.
        samples: images of the data with their annotations.
        artifacts: the exported models, see :func:`drivetrain.report.run_facts.artifacts`.
        commands: what may follow: in words, and the command.

    Returns:
        The file.

    Raises:
        DataNotFoundError: a picture does not exist.
        ImageError: a picture cannot be read.
    """
    parts = {
        "Notes": notes_section("Notes", notes),
        "Result": section("Result", _result(metrics, history), "result"),
        **{name: section(name, measured_parts(found), _anchor(name)) for name, found in (tests or {}).items()},
        "Training": section("Training", _training(metrics, history), "training"),
        "Validation": section(*_validation(validation), "validation"),
        "Predictions": section("Predictions", _pictures(pictures), "predictions"),
        "Artefacts": section("Exported models", run_facts.artifacts(artifacts), "artefacts"),
        "Data": section("Data", run_facts.about_data(run, statistics or {}, samples), "data"),
        "Choices": section("What was chosen, and why", run_facts.plan(run), "choices"),
        "Options": section("Options", run_facts.options(run), "options"),
        "Machine": section("Machine and versions", run_facts.machine(run), "machine"),
        "Next": section("Next", _commands(commands), "next"),
        "Record": section("Record", run_facts.record(run), "record"),
    }
    names = {**dict.fromkeys(parts, ""), **{name: _anchor(name) for name in tests or {}}}
    links = [(names[name] or name.lower(), name.partition(" on ")[0]) for name, html in parts.items() if html]
    return write_page(
        path, title=title, summary=_summary(run), sections=list(parts.values()), template="run.html", links=links
    )


def _anchor(headline: str) -> str:
    """A name for the section of a test that a link can lead to."""
    return "test-" + "".join(character if character.isalnum() else "-" for character in headline.lower())


def _summary(run: Mapping[str, Any]) -> str:
    """The most important facts about the run."""
    model, options = run.get("model"), run.get("options")
    known = {**options, **run} if isinstance(options, Mapping) else dict(run)
    if isinstance(model, Mapping):
        known["model"] = model.get("name")
    shown = {
        key: str(known[key])[:_SHORT]
        for key in ("status", "engine", "model", "task", "device", "seed")
        if isinstance(known.get(key), str | int | float) and str(known[key])
    }
    return fact_list({**shown, **_times(run)}) if shown else ""


def _times(run: Mapping[str, Any]) -> dict[str, str]:
    """When the run was started, and how long it computed."""
    spans = [part for part in run.get("parts") or () if isinstance(part, Mapping) and part.get("started")]
    if not spans:
        return {}
    seconds = sum(
        (datetime.fromisoformat(item["ended"]) - datetime.fromisoformat(item["started"])).total_seconds()
        for item in spans
        if item.get("ended")
    )
    found = {"started": f"{datetime.fromisoformat(spans[0]['started']):%Y-%m-%d %H:%M} UTC"}
    return {**found, "took": _duration(seconds)} if seconds else found


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _best_epoch(metrics: Metrics | None, history: Sequence[EpochRecord]) -> int | None:
    """The epoch of the metrics, counted from 1."""
    values = dict(metrics or {})
    return next((item.epoch + 1 for item in history if values and values.items() <= item.metrics.items()), None)


def _result(metrics: Metrics | None, history: Sequence[EpochRecord]) -> str:
    """The metrics of the state that is used."""
    if not metrics:
        return ""
    main = next(iter(metrics))
    epoch = _best_epoch(metrics, history)
    where = f"Epoch {epoch} of {len(history)}, whose state is used. " if epoch is not None and len(history) > 1 else ""
    images = f"On {metrics.count} images." if metrics.count else ""
    said = f'<p class="hint">{where}{images}</p>' if where or images else ""
    shown = Metrics({name: value for name, value in metrics.items() if name not in _NO_RESULT})
    return said + metric_tiles(shown, main=main)


def _training(metrics: Metrics | None, history: Sequence[EpochRecord]) -> str:
    """Curves by epoch, and the values of what was measured only once, unless they are the result already."""
    epoch = _best_epoch(metrics, history)
    figures = "".join(line_chart(title, lines, marked=epoch) for title, lines in charts_of(history).items())
    hint = '<p class="hint">Dashed: the epoch whose state is used.</p>' if figures and epoch is not None else ""
    single = [(name, value) for name, value in measured_once(history) if name not in (metrics or {})]
    return (f'{hint}<div class="charts">{figures}</div>' if figures else "") + run_facts.once(single)


def _validation(validation: MeasuredPart | None) -> tuple[str, str]:
    """Headline and body."""
    if validation is None:
        return "", ""
    count = validation.metrics.count
    return f"On {count} validation image{'s' if count != 1 else ''}", measured_parts(validation, tiles=False)


def _commands(commands: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<div>{text(said)}</div><pre>{text(command)}</pre>" for said, command in commands)


def _pictures(pictures: Sequence[str | Path]) -> str:
    figures = "".join(
        part("picture", {"uri": _embedded(Path(picture)), "title": Path(picture).name}) for picture in pictures
    )
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _embedded(picture: Path) -> str:
    """The picture as a data URI, scaled down if it is wide."""
    import numpy as np

    from drivetrain.images.file import NoImage, open_image

    try:
        with open_image(picture) as image:
            return small_picture(np.asarray(image.convert("RGB")), _PICTURE_WIDTH, quality=88)
    except FileNotFoundError:
        raise DataNotFoundError(f"the picture {str(picture)!r} does not exist.") from None
    except NoImage as error:
        raise ImageError(f"the picture {str(picture)!r} cannot be read: {error}.") from error
