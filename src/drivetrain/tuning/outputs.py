"""The files of a search: the best configuration, a table of the trials, a record and a page."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.machine.files import write_text
from drivetrain.machine.versions import environment, git_state
from drivetrain.report.tuning import write_tuning_report
from drivetrain.runs.run import plain
from drivetrain.types.results import TrialRecord, TuneResult

BEST = "best.yaml"
TABLE = "trials.csv"
RECORD = "tuning.json"
REPORT = "report.html"
JOURNAL = "journal.log"
TRIALS = "trials"
WRITTEN = (BEST, TABLE, RECORD, REPORT, JOURNAL, TRIALS, "workers")
_LARGE = ("checkpoints", "upstream", "artifacts")


def trial_folder(folder: Path, number: int) -> Path:
    """The work dir of a trial."""
    return folder / TRIALS / f"{number:04d}"


def write_config(path: Path, config: Mapping[str, Any], best: TrialRecord, metric: str) -> None:
    """Write the best configuration as a file for ``--config``."""
    import yaml

    head = f"# {metric} {best.value:.6g}: trial {best.number} of a search\n"
    write_text(path, head + yaml.safe_dump(plain(config), sort_keys=False))


def write_results(folder: Path, result: TuneResult, definition: Mapping[str, Any], *, wall_seconds: float) -> None:
    """Write the table, the record and the page of a search."""
    names = list(definition["space"])
    write_text(folder / TABLE, _table(result.trials, names, result.metric))
    record = {
        "definition": definition,
        "metric": result.metric,
        "best": {"trial": _best_number(result), "value": result.value, "values": result.best},
        "importances": result.importances,
        "wall_seconds": wall_seconds,
        "trials": [_row(trial) for trial in result.trials],
        "environment": environment(),
        "git": git_state(),
    }
    write_text(folder / RECORD, json.dumps(plain(record), indent=2, allow_nan=False) + "\n")
    write_tuning_report(folder / REPORT, result, definition=definition)


def forget_weights(folder: Path, records: Sequence[TrialRecord], best: TrialRecord | None) -> None:
    """Delete large files of all trials except the best and those still running."""
    for record in records:
        if record.state != "running" and (best is None or record.number != best.number):
            for name in _LARGE:
                shutil.rmtree(trial_folder(folder, record.number) / name, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove what an earlier search wrote, but none of the user's own files."""
    for name in WRITTEN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _best_number(result: TuneResult) -> int | None:
    return next(
        (trial.number for trial in result.trials if trial.values == result.best and trial.value == result.value), None
    )


def _row(trial: TrialRecord) -> dict[str, Any]:
    names = ("number", "state", "values", "value", "curve", "used", "seconds", "training_seconds", "error")
    return {name: getattr(trial, name) for name in names}


def _table(trials: Sequence[TrialRecord], names: Sequence[str], metric: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", metric, *names, "epochs", "seconds", "error"])
    for trial in trials:
        values = [trial.values.get(name, "") for name in names]
        value = "" if trial.value is None else repr(trial.value)
        error = trial.error.partition("\n")[0]
        writer.writerow([trial.number, trial.state, value, *values, len(trial.curve), round(trial.seconds, 3), error])
    return text.getvalue()
