"""The report of a run: what its training reached, and what ``test`` has measured since."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.chosen_sensitivity import validation_thresholds
from drivetrain.errors import StorageError
from drivetrain.machine import files
from drivetrain.runs.record import is_held, read_history
from drivetrain.types.results import Metrics

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState

REPORT = "report.html"
#: The tests of the final weights, newest last.
TESTS = "tests.json"
_MOST_TESTS = 10
_MOST_CLASSES = 200  # of a confusion matrix that is kept


def report_training(engine: EngineState, directory: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the report of a training that has just ended; tests of earlier weights are forgotten.

    Args:
        engine: that has the trained model.
        directory: the work dir.
        record: of the run.

    Returns:
        What the record is to keep for the report: the tables of validation, and its title.

    Raises:
        StorageError: the report cannot be written.
    """
    (directory / TESTS).unlink(missing_ok=True)
    title = f"{engine.setup.model_name} on {engine.data.name}"
    kept = {"title": title, "tables": _without_nan(validation_thresholds(engine))}
    _write(directory, {**record, "report": kept})
    return kept


def report_test(engine: EngineState, metrics: Metrics, about: Mapping[str, Any]) -> None:
    """Add a test to the report of the run whose weights were tested; the user is told where it is.

    Nothing is written for weights that are not of a finished run, or while another process has the run. A report that
    cannot be written is noted, and the test is not lost.

    Args:
        engine: that was tested.
        metrics: what it reached.
        about: the data, subset and options of the test; a test that repeats them replaces the earlier one.
    """
    run, loaded = engine.weights.run, engine.weights.loaded
    directory = run.directory
    if directory is None or loaded is None or not loaded.is_relative_to(directory):
        return
    if run.content.get("status") != "finished" or is_held(directory):
        return
    if not os.access(directory, os.W_OK):
        engine.progress.note(f"The test is not in the report: {str(directory)!r} cannot be written.")
        return
    from drivetrain.runs.run import time_stamp

    about = {**about, "checkpoint": loaded.name}
    earlier = [item for item in _read(directory) if item.get("about") != about]
    found = {"about": about, "measured": time_stamp(), **_as_plain(metrics)}
    try:
        files.write_json(directory / TESTS, {"tests": [*earlier, found][-_MOST_TESTS:]})
        _write(directory, run.content)
    except StorageError as error:
        engine.progress.note(f"The test is not in the report: {error}")
    else:
        engine.progress.note(f"The report has this test: {directory / REPORT}")


def _write(directory: Path, record: Mapping[str, Any]) -> None:
    from drivetrain.report import write_report

    kept = record.get("report") or {}
    values = {name: float(value) for name, value in (record.get("metrics") or {}).items()}
    write_report(
        directory / REPORT,
        title=kept.get("title") or directory.name,
        run={name: value for name, value in record.items() if name != "report"},
        metrics=Metrics(values, tables=_with_nan(kept.get("tables") or {})),
        history=read_history(directory / "metrics.csv"),
        notes=record.get("notes") or (),
        tests={_headline(item): _as_metrics(item) for item in reversed(_read(directory))},
    )


def _read(directory: Path) -> list[dict[str, Any]]:
    """The tests so far; none where their file is damaged, for the numbers can be measured again."""
    try:
        found = json.loads((directory / TESTS).read_text(encoding="utf-8"))["tests"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    items = found if isinstance(found, list) else []
    return [item for item in items if isinstance(item, dict) and "values" in item]


def _headline(item: Mapping[str, Any]) -> str:
    about = item.get("about") or {}
    options = [
        f"{name} {value}" for name, value in about.items() if name not in ("data", "subset") and value is not None
    ]
    return f"Test on {item['count']} images of {about.get('data')} ({', '.join([str(about.get('subset')), *options])})"


def _as_plain(metrics: Metrics) -> dict[str, Any]:
    tables = dict(metrics.tables)
    if len(tables.get("confusion_matrix") or ()) > _MOST_CLASSES:
        del tables["confusion_matrix"]
    found: dict[str, Any] = _without_nan({**metrics.to_dict(), "tables": tables})
    return found


def _as_metrics(item: Mapping[str, Any]) -> Metrics:
    values, per_class = _with_nan(item["values"]), _with_nan(item.get("per_class") or {})
    return Metrics(values, per_class=per_class, tables=_with_nan(item.get("tables") or {}), count=item["count"])


def _without_nan(value: Any) -> Any:
    """Plain data in which what is undefined is ``None``."""
    if isinstance(value, Mapping):
        return {str(name): _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(value: Any) -> Any:
    """The reverse, for numbers; a sensitivity that is ``None`` is none in 0..1."""
    if isinstance(value, Mapping):
        return {
            name: math.nan if item is None and name not in ("sensitivity", "scores") else _with_nan(item)
            for name, item in value.items()
        }
    return [_with_nan(item) for item in value] if isinstance(value, list) else value
