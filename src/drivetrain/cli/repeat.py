"""``drivetrain repeat``: repeat a finished run, and report whether the result is the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.cli.answer import Answer
from drivetrain.errors import OptionError, WorkDirError

if TYPE_CHECKING:
    from drivetrain.cli.render import Page

#: Metrics about speed, which differ between any two runs.
_CLOCK = ("time", "seconds", "img/s", "images_per_second")


@dataclass(frozen=True, slots=True)
class Difference:
    """A number that differs: where it is, and its old and new value."""

    epoch: int
    metric: str
    before: float | None
    now: float | None

    @property
    def size(self) -> float:
        """The size of the difference; infinite if one value is missing."""
        if self.before is None or self.now is None:
            return math.inf
        return abs(self.before - self.now)


def repeat_run(run: Path, *, work_dir: Path | None, tolerance: float, overwrite: bool, quiet: bool) -> Answer:
    """Train again like in the given run, and compare.

    Args:
        run: the work dir of a finished run.
        work_dir: the work dir of the new run.
        tolerance: how much numbers may differ and still count as the same.
        overwrite: replace the run in ``work_dir``.
        quiet: show no progress.

    Raises:
        WorkDirError: there is no finished run, or it has no saved config.
        DrivetrainError: as ``train`` does.
    """
    from drivetrain.cli.arguments import read_request
    from drivetrain.cli.signature import verbs
    from drivetrain.cli.verb import run_verb

    if tolerance < 0:
        raise OptionError(f"tolerance={tolerance} must be at least 0.")
    record = _finished(run)
    if work_dir is not None and work_dir.absolute() == run.absolute():
        raise OptionError(
            f"work_dir={str(work_dir)!r} is the run itself. Give another work_dir=... to compare with it."
        )
    words = ["--config", str(run / "config.yaml"), *(["--work_dir", str(work_dir)] if work_dir else [])]
    request = read_request("train", words, verbs())
    request.values["overwrite"] = overwrite
    request.flags |= {"quiet"} if quiet else set()
    result, _ = run_verb("train", request)
    facts = compare(run, record, Path(result.work_dir), tolerance)
    return Answer(facts, lambda page: _tell(page, facts), code=0 if facts["same"] else 1)


def _finished(run: Path) -> dict[str, Any]:
    from drivetrain.runs.record import RunRecord, read_record

    if not (run / "run.json").is_file():
        raise WorkDirError(f"run={str(run)!r} is not the work dir of a run: it has no run.json.")
    record = read_record(run)
    if record.get("status") != "finished":
        raise WorkDirError(
            f"run={str(run)!r} is not finished ({RunRecord.at(run).state()}). Finish it first, with --resume."
        )
    if not (run / "config.yaml").is_file():
        raise WorkDirError(
            f"run={str(run)!r} has no config.yaml: it was created from objects of a Python process (a model, data or "
            "callbacks), which cannot be recreated from here. Run that program again."
        )
    return record


def compare(before: Path, record: Mapping[str, Any], now: Path, tolerance: float) -> dict[str, Any]:
    """The comparison of two runs, as plain data.

    Args:
        before: the work dir of the first run.
        record: the record of the first run.
        now: the work dir of the second run.
        tolerance: how much numbers may differ.

    Returns:
        ``same`` (the metrics are, and with ``deterministic`` the weights too), ``metrics_same``, ``weights_same``
        (``None`` if there are none to compare), ``deterministic``, ``parts`` (1, or more if the run was resumed),
        ``differences``, ``largest_difference``, ``changed`` (differences in versions, data and options), ``run`` and
        ``work_dir``.
    """
    from drivetrain.runs.record import read_history, read_record

    again = read_record(now)
    differences = [
        item
        for item in _differences(read_history(before / "metrics.csv"), read_history(now / "metrics.csv"))
        if item.size > tolerance
    ]
    weights = _same_weights(before, record, now, again)
    deterministic = bool((record.get("options") or {}).get("deterministic"))
    return {
        "run": before,
        "work_dir": now,
        "same": not differences and (weights is not False or not deterministic),
        "metrics_same": not differences,
        "weights_same": weights,
        "deterministic": deterministic,
        "parts": len(record.get("parts") or [None]),
        "largest_difference": max((item.size for item in differences), default=0.0),
        "differences": [
            {"epoch": item.epoch, "metric": item.metric, "before": item.before, "now": item.now} for item in differences
        ],
        "changed": list(_changed(record, again)),
    }


def _differences(before: Any, now: Any) -> Iterator[Difference]:
    old, new = ({item.epoch: item.metrics for item in history} for history in (before, now))
    for epoch in sorted(set(old) | set(new)):
        first, second = old.get(epoch, {}), new.get(epoch, {})
        for name in dict.fromkeys([*first, *second]):
            if any(word in name.lower() for word in _CLOCK):
                continue
            one, other = first.get(name), second.get(name)
            both_undefined = one is not None and other is not None and math.isnan(one) and math.isnan(other)
            if one != other and not both_undefined:
                yield Difference(epoch, name, one, other)


def _same_weights(before: Path, record: Mapping[str, Any], now: Path, again: Mapping[str, Any]) -> bool | None:
    """Whether the last checkpoints contain the same tensors; ``None`` if one of the runs has no such file."""
    from drivetrain.models.checkpoint import tensor_digest

    names = [(item.get("checkpoints") or {}).get("last") for item in (record, again)]
    files = [folder / name for folder, name in zip((before, now), names, strict=True) if name]
    if len(files) != 2 or not all(file.is_file() for file in files):
        return None
    return tensor_digest(files[0]) == tensor_digest(files[1])


def _changed(record: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    """The differences from the first run, as sentences."""
    old, new = ((item.get("environment") or {}).get("versions") or {} for item in (record, again))
    for name in sorted(set(old) | set(new)):
        if old.get(name) != new.get(name):
            yield f"{name} was {old.get(name, 'not installed')} and is {new.get(name, 'not installed')}."
    if record.get("drivetrain") != again.get("drivetrain"):
        yield f"drivetrain was {record.get('drivetrain')} and is {again.get('drivetrain')}."
    prints = [
        item["data"].get("fingerprint") if isinstance(item.get("data"), dict) else None for item in (record, again)
    ]
    if prints[0] != prints[1]:
        yield "The data have changed: their fingerprint is different."
    commits = [(item.get("git") or {}).get("commit") for item in (record, again)]
    if commits[0] != commits[1]:
        yield f"The checkout was at {commits[0]} and is at {commits[1]}."


def _tell(page: Page, facts: Mapping[str, Any]) -> None:
    page.line(f"run       {facts['run']}")
    page.line(f"repeated  {facts['work_dir']}")
    for text in facts["changed"]:
        page.line(f"changed: {text}")
    rows = [(item["epoch"] + 1, item["metric"], item["before"], item["now"]) for item in facts["differences"]]
    if rows:
        page.table(("epoch", "metric", "before", "now"), rows[:20])
    weights = {True: "the same", False: "different", None: "not compared: a run has no such file"}
    page.line(f"metrics   {'the same in every epoch' if facts['metrics_same'] else 'different'}")
    page.line(f"weights   {weights[facts['weights_same']]}")
    if facts["same"]:
        page.line("The result is the same.")
        return
    advice = "" if facts["deterministic"] else " The run was not deterministic: --deterministic makes it repeatable."
    if facts["parts"] > 1:
        advice += (
            f" The run was trained in {facts['parts']} parts, and not every framework resumes to the weights of an "
            "unbroken training."
        )
    page.line(f"The result is NOT the same; the largest difference is {facts['largest_difference']:.3g}.{advice}")
