"""The report of a run: what its training reached, and what was tested and exported since."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.reported_artifacts import artifact_rows, next_commands
from drivetrain.errors import DrivetrainError, StorageError
from drivetrain.machine import files
from drivetrain.runs.record import is_held, read_history
from drivetrain.types.results import Metrics

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.report.measured import MeasuredPart, PageExample

REPORT = "report.html"
#: The tests of the final weights, newest last; the newest has its examples.
TESTS = "tests.json"
#: What the final weights reach on validation images, and what the data are.
VALIDATION = "validation.json"
_MOST_TESTS = 10
_MOST_CLASSES = 200  # of a confusion matrix, or of a table of the data, that is kept


def report_training(engine: EngineState, directory: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the report of a training that has just ended; tests of earlier weights are forgotten.

    Args:
        engine: that has the trained model.
        directory: the work dir.
        record: of the run.

    Returns:
        What the record is to keep for the report: its title.

    Raises:
        StorageError: the report cannot be written.
    """
    (directory / TESTS).unlink(missing_ok=True)
    files.write_json(directory / VALIDATION, _shown_beside(engine, record))
    kept = {"title": _title(engine)}
    _write(engine, directory, {**record, "report": kept})
    return kept


def report_test(
    engine: EngineState,
    metrics: Metrics,
    about: Mapping[str, Any],
    examples: Callable[[], Sequence[PageExample]] = tuple,
) -> None:
    """Add a test to the report of the run whose weights were tested; the user is told where it is.

    Nothing is written for weights that are not of a finished run, or while another process has the run. A report that
    cannot be written is noted, and the test is not lost.

    Args:
        engine: that was tested.
        metrics: what it reached.
        about: the data, subset and options of the test; a test that repeats them replaces the earlier one.
        examples: finds images that were answered worst and best; called only if they are shown.
    """
    run, loaded = engine.weights.run, engine.weights.loaded
    directory = run.directory
    if directory is None or loaded is None or not _is_own(engine, loaded):
        return
    if not os.access(directory, os.W_OK):
        engine.progress.note(f"The test is not in the report: {str(directory)!r} cannot be written.")
        return
    from drivetrain.runs.run import time_stamp

    about = {**about, "checkpoint": loaded.name}
    earlier = [_without_examples(item) for item in _read(directory) if item.get("about") != about]
    shown = _guarded(engine, "examples of the test", lambda: [item.to_dict() for item in examples()]) or []
    found = {"about": about, "measured": time_stamp(), **_as_plain(metrics), "examples": shown}
    try:
        files.write_json(directory / TESTS, {"tests": [*earlier, found][-_MOST_TESTS:]})
        _write(engine, directory, run.content)
    except StorageError as error:
        engine.progress.note(f"The test is not in the report: {error}")
    else:
        engine.progress.note(f"The report has this test: {directory / REPORT}")


def report_artifact(engine: EngineState, folder: Path) -> None:
    """Add an exported model to the report of the run that it lies in.

    A report that cannot be written is noted, and the artefact is not lost.

    Args:
        engine: that exported it.
        folder: of the artefact.
    """
    directory = engine.weights.run.directory
    if directory is None or not _is_own(engine, folder) or not os.access(directory, os.W_OK):
        return
    try:
        _write(engine, directory, engine.weights.run.content)
    except StorageError as error:
        engine.progress.note(f"The artefact is not in the report: {error}")


def _is_own(engine: EngineState, path: Path) -> bool:
    """Whether a file or folder lies in the engine's finished run, which no other process holds."""
    run = engine.weights.run
    if run.directory is None or not path.absolute().is_relative_to(run.directory):
        return False
    return run.content.get("status") == "finished" and not is_held(run.directory)


def _title(engine: EngineState) -> str:
    """The model without its module, and the data by the name of their folder or class."""
    name = engine.setup.model_name
    module, _, last = name.rpartition(".")
    is_class = bool(module) and "/" not in name and ":" not in name and last[:1].isupper()
    data = f"its {engine.data.name}" if engine.has_native_data else engine.data.name
    return f"{last if is_class else name} trained on {data}" if data else f"{last if is_class else name}, trained"


def _shown_beside(engine: EngineState, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the report shows beyond the record: validation with the final weights, and what the data are."""
    from drivetrain.engine.shown_examples import examples_of_data
    from drivetrain.engine.validation_report import measured_validation

    spans = record.get("parts") or [{}]
    started = spans[-1].get("started")
    validation = _guarded(engine, "validation images", lambda: measured_validation(engine, started))
    found: dict[str, Any] = {"validation": None if validation is None else _measured_as_plain(validation)}
    if not engine.has_native_data:
        found["statistics"] = _guarded(engine, "statistics of the data", lambda: _statistics(engine))
        items = _guarded(engine, "images of the data", lambda: examples_of_data(engine.dataset)) or []
        found["samples"] = [item.to_dict() for item in items]
    return found


def _statistics(engine: EngineState) -> dict[str, Any]:
    facts = engine.dataset.describe()
    if len(facts["label_names"]) > _MOST_CLASSES:
        facts["label_names"] = ()
    kept = ("label_names", "images_per_class", "objects_per_class", "image_sizes")
    plain: dict[str, Any] = _without_nan({name: facts[name] for name in kept})
    return plain


def _guarded(engine: EngineState, what: str, made: Callable[[], Any]) -> Any:
    """Something for the report; a trained model is not lost for the sake of a picture of it."""
    try:
        return made()
    except StorageError:
        raise
    except DrivetrainError as error:
        engine.progress.note(f"The report has no {what}: {error}")
    except Exception as error:
        engine.progress.note(f"The report has no {what}: {type(error).__name__}: {error}")
    return None


def _write(engine: EngineState, directory: Path, record: Mapping[str, Any]) -> None:
    from drivetrain.report import write_report
    from drivetrain.report.measured import PageExample

    kept = record.get("report") or {}
    values = {name: float(value) for name, value in (record.get("metrics") or {}).items()}
    beside = files.read_object(directory / VALIDATION)
    validation = beside.get("validation")
    write_report(
        directory / REPORT,
        title=kept.get("title") or directory.name,
        run={name: value for name, value in record.items() if name != "report"},
        metrics=Metrics(values),
        history=read_history(directory / "metrics.csv"),
        notes=record.get("notes") or (),
        tests={_headline(item): _as_measured(item) for item in reversed(_read(directory))},
        validation=_as_measured(validation) if validation else None,
        statistics=beside.get("statistics") or {},
        samples=[PageExample.from_dict(item) for item in beside.get("samples") or ()],
        artifacts=artifact_rows(directory / "artifacts"),
        commands=next_commands(engine.spec.hooks, directory),
    )


def _read(directory: Path) -> list[dict[str, Any]]:
    """The tests so far; none where their file is damaged, for the numbers can be measured again."""
    found = files.read_object(directory / TESTS).get("tests")
    items = found if isinstance(found, list) else []
    return [item for item in items if isinstance(item, dict) and "values" in item]


def _headline(item: Mapping[str, Any]) -> str:
    about = item.get("about") or {}
    options = [
        f"{name} {value}" for name, value in about.items() if name not in ("data", "subset") and value is not None
    ]
    return f"Test on {item['count']} images of {about.get('data')} ({', '.join([str(about.get('subset')), *options])})"


def _measured_as_plain(found: MeasuredPart) -> dict[str, Any]:
    return {**_as_plain(found.metrics), "examples": [item.to_dict() for item in found.examples], "said": found.said}


def _without_examples(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "examples"}


def _as_plain(metrics: Metrics) -> dict[str, Any]:
    tables = dict(metrics.tables)
    if len(tables.get("confusion_matrix") or ()) > _MOST_CLASSES:
        del tables["confusion_matrix"]
    found: dict[str, Any] = _without_nan({**metrics.to_dict(), "tables": tables})
    return found


def _as_measured(item: Mapping[str, Any]) -> MeasuredPart:
    from drivetrain.report.measured import MeasuredPart, PageExample

    values, per_class = _with_nan(item["values"]), _with_nan(item.get("per_class") or {})
    metrics = Metrics(values, per_class=per_class, tables=_with_nan(item.get("tables") or {}), count=item["count"])
    examples = tuple(PageExample.from_dict(one) for one in item.get("examples") or ())
    return MeasuredPart(metrics, examples, str(item.get("said") or ""))


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
