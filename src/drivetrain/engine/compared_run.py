"""One model of a comparison, in its own process: trained, evaluated, exported, optimised and timed."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from drivetrain.errors import DrivetrainError, OptionError, UnsupportedError
from drivetrain.launch.worker import Channel
from drivetrain.runs.progress import LineProgress
from drivetrain.runs.record import RunRecord, read_history
from drivetrain.types.comparison import ComparedModel
from drivetrain.types.results import EpochRecord
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.engine.engine import Engine
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import Metrics, TrainResult

#: The name of a model's run in its folder.
RUN = "run"
_MOST_EPOCHS = 300


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """What to do with a model.

    Attributes:
        name: the name in its rows.
        model: a name, a path or a recipe.
        data: the data that all models are trained on.
        test_data: the images that all models are evaluated on.
        task: the task of the data.
        device: the device to train and evaluate on.
        folder: the folder for the run and its artefacts.
        options: the options of the training.
        seconds: the time for the training; ``None`` without a budget.
        optimize: whether to add an INT8 row for the model.
        timing_seconds: the time for each stage of the benchmark.
    """

    name: str
    model: str
    data: Any
    test_data: Dataset
    task: Task
    device: str | None
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    optimize: bool = False
    timing_seconds: float = 3.0


class _Relay(io.TextIOBase):
    """A stream that sends its lines to the process that started the worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def write(self, text: str, /) -> int:
        """Send a line."""
        if text.strip():
            self._channel.tell(text.rstrip())
        return len(text)


class _EpochClock(LineProgress):
    """Shows the epochs, and measures how long they take."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(cast("IO[str]", _Relay(channel)))
        self.began = self.ended = time.monotonic()
        self.epochs = 0

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        """Start timing an epoch."""
        super().start(epochs=epochs, steps_per_epoch=steps_per_epoch, first_epoch=first_epoch)
        self.began = self.ended = time.monotonic()
        self.epochs = 0

    def epoch_end(self, record: EpochRecord) -> None:
        """Record when the epoch ended."""
        super().epoch_end(record)
        self.ended = time.monotonic()
        self.epochs += 1

    @property
    def seconds_per_epoch(self) -> float:
        """The mean time of an epoch, including validation."""
        return (self.ended - self.began) / max(1, self.epochs)


def run(channel: Channel, order: CompareOrder) -> list[ComparedModel]:
    """Turn a model's name into the measurements of its artefact.

    Args:
        channel: receives the progress.
        order: what to do.

    Returns:
        One row, or two with the optimised variant.

    Raises:
        DrivetrainError: the model cannot be created, trained or evaluated.
    """
    clock = _EpochClock(channel)
    engine, row = _ready(order, clock)
    if engine.task is not order.task:
        raise OptionError(f"its task is {engine.task.value}, but the models are compared on {order.task.value}.")
    artifact = engine.framework.artifact
    if artifact is None:
        clock.note("Testing the model in its framework.")
        row = replace(row, model_metrics=dict(engine.test(order.test_data)))
        try:
            clock.note("Exporting.")
            artifact = engine.export("openvino", overwrite=True)
        except UnsupportedError as error:
            row = replace(row, notes=(*row.notes, f"It cannot be exported: {error}"))
    rows = [_measured(order, row, artifact, engine, clock)]
    if order.optimize and artifact is not None:
        rows.append(_optimised(order, rows[0], engine, clock))
    return rows


def _ready(order: CompareOrder, clock: _EpochClock) -> tuple[Engine, ComparedModel]:
    """The engine with its trained model: as given, as an earlier call left it, or trained now."""
    row = ComparedModel(order.name, state="running")
    if is_taken_as_it_is(order.model):
        engine = _made(order, order.model, order.folder / RUN)
        notes = ("Used as given, not trained here.",)
        return engine, replace(row, **_facts(engine), work_dir=str(Path(order.model).absolute()), notes=notes)
    engine, epochs, seconds = _trained(order, clock)
    facts = _facts(engine)
    return engine, replace(
        row, **facts, trained=True, epochs=epochs, train_seconds=seconds, work_dir=str(order.folder / RUN)
    )


def is_taken_as_it_is(model: str) -> bool:
    """Whether a model is a finished run, a checkpoint or an artefact; recipes and names are to be trained."""
    path = Path(model).expanduser()
    return path.exists() and path.suffix.lower() not in (".yaml", ".yml", ".json")


def _facts(engine: Engine) -> dict[str, Any]:
    return {"engine": engine.spec.name, "licences": engine.framework.licences()}


def _made(order: CompareOrder, model: str, folder: Path) -> Engine:
    from drivetrain.engine.engine import Engine

    task = None if is_taken_as_it_is(model) else order.task.value
    return Engine(model, order.data, task=task, work_dir=folder, device=order.device)


def _trained(order: CompareOrder, clock: _EpochClock) -> tuple[Engine, int | None, float]:
    """Train, or continue where an earlier call was interrupted: the engine, its epochs, and the seconds it took."""
    folder = order.folder / RUN
    record = RunRecord.at(folder)
    begun = time.monotonic()
    if record.content.get("status") == "finished":
        return _made(order, str(folder), folder), len(read_history(folder / "metrics.csv")) or None, _took(record)
    if record.checkpoint("last") is not None:
        engine = _made(order, str(folder), folder)
        engine.progress = clock
        result = engine.train(resume=True)
    else:
        engine, result = _train(order, clock)
    return engine, len(result.history) or None, time.monotonic() - begun


def _took(record: RunRecord) -> float:
    """The duration of a finished run in seconds, over all its parts."""
    spans = [
        datetime.fromisoformat(part["ended"]) - datetime.fromisoformat(part["started"])
        for part in record.content.get("parts", ())
        if "ended" in part
    ]
    return sum(span.total_seconds() for span in spans)


def _train(order: CompareOrder, clock: _EpochClock) -> tuple[Engine, TrainResult]:
    """Train for the requested number of epochs, or for as many as fit the time, judging by the first."""
    folder, probe = order.folder / RUN, order.folder / "probe"
    options = {name: value for name, value in order.options.items() if value is not None}
    if order.seconds is None:
        return _fitted(order, folder, options, clock)
    clock.note("Training one epoch to see how many fit.")
    begun = time.monotonic()
    engine, result = _fitted(order, probe, {**options, "max_epochs": 1}, clock)
    left = order.seconds - (time.monotonic() - begun)
    most = min(options.get("max_epochs", _MOST_EPOCHS), _MOST_EPOCHS)
    epochs = min(most, int(left / max(clock.seconds_per_epoch, 1e-3)))
    if epochs > 1:
        clock.note(f"{epochs} epochs of {clock.seconds_per_epoch:.1f} s fit.")
        del engine
        shutil.rmtree(probe, ignore_errors=True)
        return _fitted(order, folder, {**options, "max_epochs": epochs}, clock)
    clock.note("Only this epoch fits.")
    shutil.rmtree(folder, ignore_errors=True)
    probe.rename(folder)
    return _made(order, str(folder), folder), result


def _fitted(
    order: CompareOrder, folder: Path, options: Mapping[str, Any], clock: _EpochClock
) -> tuple[Engine, TrainResult]:
    engine = _made(order, order.model, folder)
    engine.progress = clock
    return engine, engine.train(**options, overwrite=True)


def _measured(
    order: CompareOrder, row: ComparedModel, artifact: Artifact | None, engine: Engine, clock: _EpochClock
) -> ComparedModel:
    """The row with the measurements of the artefact, or of the model if it cannot be exported."""
    from drivetrain.engine.engine import Engine as Factory

    clock.note("Measuring accuracy and speed.")
    device = order.device if artifact is None else None
    deployed = engine if artifact is None else Factory(str(artifact.path), order.test_data, device=device)
    metrics: Metrics = deployed.test(order.test_data)
    timed = {hint: deployed.benchmark(hint=hint, seconds=order.timing_seconds) for hint in ("latency", "throughput")}
    by_files = timed["throughput"].stages
    return replace(
        row,
        state="finished",
        artifact="" if artifact is None else str(artifact.path),
        precision="" if artifact is None else artifact.precision,
        metrics={name: value for name, value in metrics.items() if not name.startswith("upstream/")},
        per_class=metrics.per_class,
        latency_ms=timed["latency"].stages["arrays"]["latency_ms"]["median"],
        images_per_second=by_files.get("files", by_files["arrays"])["images_per_second"],
        model_bytes=timed["latency"].model_bytes,
        memory_bytes=timed["latency"].memory["added"],
    )


def _optimised(order: CompareOrder, row: ComparedModel, engine: Engine, clock: _EpochClock) -> ComparedModel:
    """The INT8 row of the same model; if INT8 fails or loses too much accuracy, a row with the reason."""
    clock.note("Optimising.")
    before = replace(row, name=f"{row.name} int8", notes=())
    try:
        lighter = engine.optimize(overwrite=True)
    except DrivetrainError as error:
        return replace(
            ComparedModel(before.name, engine=row.engine, work_dir=row.work_dir), state="failed", error=str(error)
        )
    return _measured(order, before, lighter, engine, clock)
