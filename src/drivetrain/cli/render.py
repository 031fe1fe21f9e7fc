"""Displaying the result of a verb: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import IO, TYPE_CHECKING, Any

from drivetrain.report.tables import class_rows, number, optimization_lines, task_metrics_line, threshold_rows

if TYPE_CHECKING:
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import BenchmarkResult, Metrics, Predictions, TrainResult, TuneResult
    from drivetrain.types.embeddings import Embeddings
    from drivetrain.types.explanation import Explanations

_MOST_ROWS = 20
_WIDTH = 80
_STAGES = {"network": "network alone", "arrays": "from images to answers", "files": "from files to answers"}
_TUNE = ("work_dir", "config", "best", "value", "metric", "best_checkpoint", "importances")


def show(result: Any, stream: IO[str], *, as_json: bool, follows: str | None = None) -> None:
    """Write the result of a verb.

    Args:
        result: Metrics, TrainResult, Artifact, Predictions, or anything with ``to_dict``, a record or plain data.
        stream: where to write.
        as_json: one JSON document and nothing else.
        follows: the command that usually follows, for the last line.
    """
    to_json, to_text = _SHAPES.get(type(result).__name__, (_any_json, _any_text))
    if as_json:
        write_json(to_json(result), stream)
    else:
        to_text(result, page := Page(stream))
        if follows:
            page.line(f"\nNext: {follows}")


def write_json(value: Any, stream: IO[str]) -> None:
    """Write plain data as one JSON document; undefined values (NaN) become ``null``."""
    json.dump(jsonable(value), stream, indent=2, allow_nan=False)
    stream.write("\n")


def jsonable(value: Any) -> Any:
    """The value as plain data; arrays become lists, and non-finite numbers ``None``."""
    from drivetrain.runs.run import plain

    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return plain(value)


class Page:
    """Tables and lines for people; they fit the width of the terminal, or 80 columns without a terminal.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def line(self, text: str = "") -> None:
        """One line."""
        self._stream.write(f"{text}\n")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
        """A table; numbers are shown with four decimal places."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", title_style="", pad_edge=False)
        for name in head:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(cell)) for cell in row))
        width = None if self._stream.isatty() else _WIDTH
        Console(file=self._stream, width=width, highlight=False, markup=False).print(table)


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) else "" if value is None else str(value)


# --- anything else ---------------------------------------------------------------------------------------------------


def _any_json(result: Any) -> Any:
    """The result's own plain form; verbs that return a record need no code here."""
    if hasattr(result, "to_dict"):
        return result.to_dict()
    if is_dataclass(result) and not isinstance(result, type):
        return {item.name: getattr(result, item.name) for item in fields(result)}
    return result


def _any_text(result: Any, page: Page) -> None:
    """A mapping as a table of two columns, a list of mappings as a table, and strings as lines."""
    shown = _any_json(result)
    if isinstance(shown, Mapping):
        page.table(("", "value"), ((name, _in_a_cell(value)) for name, value in shown.items()))
    elif isinstance(shown, list | tuple) and shown and all(isinstance(row, Mapping) for row in shown):
        head = list(dict.fromkeys(str(name) for row in shown for name in row))
        page.table(head, ([_in_a_cell(row.get(name)) for name in head] for row in shown))
    elif shown is not None:
        page.line(str(shown))


def _in_a_cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(jsonable(value), ensure_ascii=False)


# --- metrics ---------------------------------------------------------------------------------------------------------


def metrics_text(metrics: Metrics, page: Page) -> None:
    """The numbers, and those of each class."""
    page.table(("metric", "value"), metrics.items())
    if remark := metrics.tables.get("about_upstream"):
        page.line(remark)
    if metrics.per_class:
        header, rows = class_rows(metrics)
        page.table(header, rows[:_MOST_ROWS])
        _more(page, len(rows), "classes")
    header, rows = threshold_rows(metrics)
    if rows:
        page.table(header, rows)
        page.line(metrics.tables.get("threshold_advice", ""))
    if metrics.count:
        page.line(f"Evaluated on {metrics.count} images.")


def _more(page: Page, count: int, what: str) -> None:
    if count > _MOST_ROWS:
        page.line(f"... and {count - _MOST_ROWS} more {what}; --json shows all.")


# --- training --------------------------------------------------------------------------------------------------------


def _train_json(result: TrainResult) -> dict[str, Any]:
    return {
        "work_dir": result.work_dir,
        "best_checkpoint": result.best_checkpoint,
        "last_checkpoint": result.last_checkpoint,
        "metrics": dict(result.metrics),
        "history": [{"epoch": record.epoch, **record.metrics} for record in result.history],
        "overrides": {name: {"asked": asked, "used": used} for name, (asked, used) in result.overrides.items()},
        "notes": result.notes,
    }


def _train_text(result: TrainResult, page: Page) -> None:
    if result.metrics:
        page.line(_which_epoch(result))
        rows = [(f"{name} *" if name == result.metric else name, value) for name, value in result.metrics.items()]
        page.table(("metric", "value"), rows)
    for name, (asked, used) in result.overrides.items():
        page.line(f"{name}: requested {asked!r}, used {used!r}")
    page.line(f"work dir         {result.work_dir}")
    page.line(f"best checkpoint  {result.best_checkpoint or 'none: there was no metric to select by'}")
    page.line(f"last checkpoint  {result.last_checkpoint or 'none'}")
    report = result.work_dir / "report.html"
    if report.is_file():
        page.line(f"report           {report}")


def _which_epoch(result: TrainResult) -> str:
    """Which epoch the table shows, and why."""
    last = result.history[-1].epoch + 1 if result.history else 1
    if result.best_epoch is None or result.metric is None:
        return f"Epoch {last}, the last:"
    return f"Epoch {result.best_epoch + 1} of {last}, the best by {result.metric} (*):"


# --- search ----------------------------------------------------------------------------------------------------------


def _tune_json(result: TuneResult) -> dict[str, Any]:
    return {**{name: getattr(result, name) for name in _TUNE}, "trials": [asdict(trial) for trial in result.trials]}


def _tune_text(result: TuneResult, page: Page) -> None:
    page.table(("option", "best"), [(name, str(value)) for name, value in result.best.items()])
    counts = Counter(trial.state for trial in result.trials)
    page.line(f"{result.metric} {result.value:.4g}; trials: {', '.join(f'{n} {state}' for state, n in counts.items())}")
    page.line(f"work dir  {result.work_dir}")
    page.line(f"report    {result.work_dir / 'report.html'}")


# --- artefact --------------------------------------------------------------------------------------------------------


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """The manifest and the path of the artefact."""
    return {"path": artifact.path, "model_path": artifact.model_path, **artifact.to_dict()}


def licences_text(licences: Mapping[str, str]) -> str:
    """The licences of a model in words."""
    return f"code {licences['code']}, published weights {licences['weights']}"


def artifact_text(artifact: Artifact, page: Page) -> None:
    """Where the artefact is, what it is, and how it compares with the model it was made from."""
    size = artifact.size_bytes / 1e6
    page.line(f"artefact  {artifact.path}")
    page.line(f"model     {artifact.model_path}")
    page.line(f"what      {artifact.format} {artifact.precision}, {artifact.task.value}, {size:.1f} MB")
    if artifact.engine:
        page.line(f"from      {artifact.model_name} by the engine {artifact.engine}")
    if artifact.licences:
        page.line(f"licences  {licences_text(artifact.licences)}")
    parity = artifact.parity
    if artifact.optimization:
        page.line(f"lighter   than {artifact.optimization['source']}, by {artifact.optimization['method']}")
        for line in optimization_lines(artifact.optimization):
            page.line(f"          {line}")
        return
    if not parity:
        page.line("It was not compared with the model it was made from.")
        return
    rows = [
        (name, f"{value:.3g}", f"{parity['tolerance'][name]:.3g}" if name in parity["tolerance"] else "")
        for name, value in parity["max_difference"].items()
    ]
    page.table(("compared with the model", "largest difference", "allowed"), rows)
    page.line(f"Same decision on {parity['agreement']:.1%} of {len(parity['images'])} images.")
    if line := task_metrics_line(parity, artifact.task.main_metric):
        page.line(line)


# --- benchmark -------------------------------------------------------------------------------------------------------


def _benchmark_text(result: BenchmarkResult, page: Page) -> None:
    page.line(f"{result.measured:<9} {result.model}")
    page.line(f"runtime   {result.runtime} on {result.device}, {result.precision}, {result.threads or '?'} threads")
    page.line(f"asked for {result.hint}: {result.streams} at a time, batch size {result.batch_size}")
    rows = []
    for name, stage in result.stages.items():
        times = stage.get("latency_ms", {})
        latency = [f"{times[key]:.2f}" if times else "" for key in ("median", "p90", "p99")]
        rows.append((_STAGES[name], f"{stage['images_per_second']:.1f}", *latency))
    page.table(("", "images/s", "median ms", "p90", "p99"), rows)
    page.line(f"ready after {result.load_seconds:.2f} s, first answer after {1e3 * result.first_seconds:.0f} ms more")
    memory = result.memory
    size = f"model {result.model_bytes / 1e6:.2f} MB on disk; " if result.model_bytes else ""
    page.line(
        f"{size}memory {memory['peak'] / 1e6:.0f} MB at the peak, {memory['added'] / 1e6:.0f} MB of it added here"
    )
    for note in result.notes:
        page.line(note)


# --- predictions -----------------------------------------------------------------------------------------------------


def from_here(path: str) -> str:
    """The path relative to the current folder if it is inside, so that a row stays short."""
    here = os.getcwd() + os.sep  # noqa: PTH109 - links are not followed
    return path.removeprefix(here)


def _predictions_text(predictions: Predictions, page: Page) -> None:
    from drivetrain.types.summary import counts_in_words, summary_of, truth_in_words

    truth = predictions.truth
    rows = []
    for index, item in enumerate(predictions[:_MOST_ROWS]):
        row = [from_here(item.path) or f"#{index}", summary_of(item)]
        if truth is not None:
            sample = truth.get(item.path)
            row.append(truth_in_words(sample, truth.label_names) if sample else "")
        rows.append(row)
    page.table(("image", "answer", "truth") if truth is not None else ("image", "answer"), rows)
    _more(page, len(predictions), "images")
    if predictions.task.value != "depth" and len(predictions) > 1:
        page.line(f"{counts_in_words(predictions.class_counts())} in {len(predictions)} images")
    for path, reason in predictions.skipped:
        page.line(f"skipped {path}: {reason}")


# --- explanations ----------------------------------------------------------------------------------------------------


def _explanations_text(explanations: Explanations, page: Page) -> None:
    """What is explained on each image, and where its map is strongest."""
    rows = [
        (from_here(item.path) or f"#{number}", item.what, item.method, "{}, {}".format(*item.peak))
        for number, item in enumerate(explanations[:_MOST_ROWS])
    ]
    page.table(("image", "explained", "by", "strongest at x, y"), rows)
    _more(page, len(explanations), "images")
    for path, reason in explanations.skipped:
        page.line(f"skipped {path}: {reason}")


def _embeddings_text(embeddings: Embeddings, page: Page) -> None:
    """How many numbers there are, and which image is most like each."""
    page.line(f"{len(embeddings)} images, {embeddings.size} numbers each; --json prints them.")
    places, cosines = embeddings.neighbours(1)
    names = [from_here(path) or f"#{number}" for number, path in enumerate(embeddings.paths)]
    if places.shape[1]:
        pairs = zip(names, places[:, 0].tolist(), cosines[:, 0].tolist(), strict=True)
        rows = [(name, names[place], cosine) for name, place, cosine in list(pairs)[:_MOST_ROWS]]
        page.table(("image", "most alike", "cosine"), rows)
        _more(page, len(names), "images")
    for path, reason in embeddings.skipped:
        page.line(f"skipped {path}: {reason}")


_SHAPES: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Page], None]]] = {
    "Metrics": (lambda metrics: metrics.to_dict(), metrics_text),
    "TrainResult": (_train_json, _train_text),
    "TuneResult": (_tune_json, _tune_text),
    "Artifact": (artifact_json, artifact_text),
    "BenchmarkResult": (lambda result: result.to_dict(), _benchmark_text),
    "Predictions": (lambda predictions: predictions.to_dict(), _predictions_text),
    "Embeddings": (lambda embeddings: embeddings.to_dict(), _embeddings_text),
    "Explanations": (lambda explanations: explanations.to_dict(), _explanations_text),
}
