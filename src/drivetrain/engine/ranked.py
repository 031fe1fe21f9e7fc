"""Training on several devices: one process for each, of which only rank 0 writes the run."""

from __future__ import annotations

import platform
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain._version import __version__
from drivetrain.errors import DrivetrainError, OptionError, TrainingInterrupted, UnsupportedOptionError, WorkDirError
from drivetrain.launch.ranks import Group, Ranks, run_ranks
from drivetrain.runs.following import FollowingRun
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import RunRecord

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.launch.worker import Channel
    from drivetrain.runs.run import Run
    from drivetrain.types import TrainResult
    from drivetrain.types.options import TrainOptions
    from drivetrain.types.results import EpochRecord

_JOB = "drivetrain.engine.ranked:train_as_rank"


def placed(options: TrainOptions, given: Mapping[str, Any], ranks: Ranks | None) -> TrainOptions:
    """The options with the devices and nodes of the launcher that started this process.

    Raises:
        OptionError: others were given.
    """
    if ranks is None:
        return options
    for name, there in (("devices", ranks.local_size), ("nodes", ranks.nodes)):
        asked = given.get(name, there)
        count = len(asked) if name == "devices" and not isinstance(asked, int) else asked
        if count not in (there, -1):
            raise OptionError(
                f"{name}={asked!r} contradicts the launcher of this process, which started {ranks.local_size} on each "
                f"of {ranks.nodes} nodes. Leave {name} out."
            )
    return replace(options, devices=given.get("devices", ranks.local_size), nodes=ranks.nodes)


def check_several(engine: EngineState, options: TrainOptions, count: int) -> None:
    """Refuse options that several devices cannot honour.

    Raises:
        UnsupportedOptionError: the message names the option.
        OptionError: the batch cannot be shared evenly.
    """
    if options.nodes > 1 and not engine.framework.several_devices:
        raise UnsupportedOptionError(
            f"nodes={options.nodes} cannot be honoured: the engine {engine.spec.name!r} trains in one process. Leave "
            "nodes out."
        )
    size = count * options.nodes
    if size == 1:
        return
    for name, default in (("run_hpo", False), ("adaptive_bs", "none")):
        value = getattr(options, name)
        if value != default:
            raise UnsupportedOptionError(
                f"{name}={value!r} cannot be honoured on {size} devices: it measures short trainings on one. Do it on "
                "one device first, and train with its result."
            )
    if options.batch_size is not None and options.batch_size % size and not engine.has_native_data:
        raise OptionError(
            f"batch_size={options.batch_size} is the number of images per step over all devices, and {size} devices "
            f"cannot share it evenly. Give a multiple of {size}."
        )


# --- in the process of the user ----------------------------------------------------------------------------------


def train_on_ranks(engine: EngineState, options: TrainOptions, given: Mapping[str, Any], count: int) -> TrainResult:
    """Start a process for each device, show what rank 0 reports, and take its result over.

    Raises:
        DrivetrainError: a rank failed; the message names it.
        TrainingInterrupted: stopped by Ctrl-C; the last state is saved.
    """
    known = engine.framework.known_task
    setup = replace(engine.setup, task=known.value if known is not None else None)
    belongings = {"plan": engine.plan, "recipe": engine.recipe, "config": engine.config}
    progress = engine.progress

    def hear(event: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
        name, words, named = event
        getattr(progress, name)(*words, **named)

    asked = {**given, "devices": given.get("devices", options.devices), "nodes": options.nodes}
    try:
        result: TrainResult = run_ranks(
            _JOB,
            (setup, engine.work_dir, asked, belongings, list(sys.argv)),
            devices=count,
            nodes=options.nodes,
            hear=hear,
        )
    except DrivetrainError as error:
        if isinstance(error, TrainingInterrupted | OptionError) or not RunRecord.at(engine.work_dir).directory:
            raise
        raise type(error)(f"{error} To continue: {RunRecord.at(engine.work_dir).how_to_go_on}") from error
    finally:
        progress.stop()
    adopt(engine, result)
    return result


def adopt(engine: EngineState, result: TrainResult) -> None:
    """Use what another process has trained."""
    weights = engine.weights
    weights.run = RunRecord.at(result.work_dir)
    weights.loaded, weights.chosen = None, result.best_checkpoint or result.last_checkpoint
    if weights.chosen is not None:
        engine.select(None)


# --- in the process of a rank ------------------------------------------------------------------------------------


class _Reporting(SilentProgress):
    """Sends everything to the process that started the ranks."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self._tell = tell

    def start(self, *, epochs: int, steps_per_epoch: int | None, first_epoch: int = 0) -> None:
        named = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "first_epoch": first_epoch}
        self._tell(("start", (), named))

    def step(self, *, epoch: int, step: int, images: int, loss: float | None = None) -> None:
        self._tell(("step", (), {"epoch": epoch, "step": step, "images": images, "loss": loss}))

    def epoch_end(self, record: EpochRecord) -> None:
        self._tell(("epoch_end", (record,), {}))

    def note(self, text: str) -> None:
        self._tell(("note", (text,), {}))

    def stop(self) -> None:
        self._tell(("stop", (), {}))


def train_as_rank(
    channel: Channel,
    setup: Any,
    work_dir: Path,
    given: Mapping[str, Any],
    belongings: Mapping[str, Any],
    command: list[str],
) -> TrainResult:
    """The whole training of one rank, in a process that :func:`train_on_ranks` started.

    Args:
        channel: to the process that started it.
        setup: makes the engine.
        work_dir: of the run.
        given: the options as given by the user.
        belongings: attributes of the engine that the setup does not make.
        command: the command line, for the record.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell inherits "ignore"
    sys.argv[:] = command
    engine = setup.make(work_dir)
    for name, value in belongings.items():
        setattr(engine, name, value)
    engine.progress = _Reporting(channel.tell)
    result: TrainResult = engine.train(**given)
    return result


def train_in_rank(
    engine: EngineState, ranks: Ranks, open_run: Callable[[], Run], body: Callable[[Run], TrainResult | None]
) -> TrainResult:
    """Train in a process that is one of several.

    Args:
        engine: the engine.
        ranks: the place of this process.
        open_run: acquires the work dir; called in rank 0 only.
        body: trains with a run; returns a result in rank 0.

    Raises:
        DrivetrainError: another rank failed, or runs another version of drivetrain.
        WorkDirError: the nodes do not share the work dir.
    """
    if not ranks.leads:
        engine.progress = SilentProgress()
    with engine.framework.join(ranks) as group:
        _require_one_version(group)
        opened: list[Run] = []

        def share() -> tuple[Path, str, Mapping[str, Any], list[EpochRecord]]:
            run = open_run()
            opened.append(run)
            return run.directory, _mark(run.directory), run.record, run.history

        directory, mark, record, history = group.share(share)
        try:
            engine.given_work_dir = directory
            _require_shared(group, directory, mark)
        except BaseException as error:
            for run in opened:
                run.close("failed", error=str(error))
            raise
        trained = body(opened[0] if ranks.leads else FollowingRun(directory, record, history))
        result: TrainResult = group.share(lambda: trained)
        if not ranks.leads:
            adopt(engine, result)
        return result


def _require_one_version(group: Group) -> None:
    """Refuse ranks with different versions of drivetrain; the message names the nodes.

    Raises:
        DrivetrainError: a node has another version than that of rank 0.
    """
    found = group.gather((_version(), platform.node()))
    version, node = found[0]
    for rank, (other, there) in enumerate(found):
        if other != version:
            raise DrivetrainError(
                f"Rank {rank} on {there} runs drivetrain {other}, but rank 0 on {node} runs {version}. Install the "
                "same version on every node."
            )


def _version() -> str:
    return __version__


def _mark(directory: Path) -> str:
    """What the lock of a work dir says, which only the process that holds it has written."""
    try:
        return (directory / ".lock").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _require_shared(group: Group, directory: Path, mark: str) -> None:
    """Refuse a work dir that not every node sees.

    Raises:
        WorkDirError: the message names the first such node.
    """
    for rank, (seen, node) in enumerate(group.gather((_mark(directory), platform.node()))):
        if seen != mark:
            raise WorkDirError(
                f"work_dir={str(directory)!r}: rank {rank} on {node} does not see the run that rank 0 writes there, so "
                "the nodes do not share this folder. Give a folder on storage that all of them share: work_dir=..."
            )
