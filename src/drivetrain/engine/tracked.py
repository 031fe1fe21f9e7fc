"""What the trackers of a run get from the engine: which of the loggers they are, and pictures of a few answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import DrivetrainError
from drivetrain.runs.tracking import framework_loggers, open_trackers
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.base import Engine
    from drivetrain.runs.run import Run

_PICTURES = 4


def for_framework(options: TrainOptions) -> TrainOptions:
    """The options as the engine sees them: names of trackers are not its matter."""
    return replace(options, logger=framework_loggers(options.logger))


def is_plain(logger: Any) -> bool:
    """Whether a config can say it: names only."""
    return framework_loggers(logger) is None


def draw_answers(engine: Engine, run: Run) -> None:
    """Draw a few answers about validation images in the work dir, if somebody follows the run."""
    if not run.trackers or engine.has_native_data:
        return
    subset = next((name for name in ("val", "test", "train") if name in engine.dataset.subsets), None)
    if subset is None:
        return
    from drivetrain.report import save_drawings

    images = engine._decode(engine.dataset.subset(subset).paths[:_PICTURES], strict=False)
    answers = engine._infer(images, batch_size=None, confidence=engine._default_confidence())
    save_drawings(engine._collect(answers, images), run.directory / "tracking" / "pictures")


def add_artifact(engine: Engine, folder: Path) -> None:
    """Add an artefact that was exported after the training to the run of each tracker that followed it.

    Args:
        engine: whose run it comes from.
        folder: the artefact.
    """
    recorded = engine._recorded
    places = recorded.record.get("tracking") or {}
    if recorded.directory is None or not places:
        return
    try:
        trackers = open_trackers(list(places))
    except DrivetrainError as error:
        engine.progress.note(f"{folder.name} was not added to {', '.join(places)}: {error}")
        return
    trackers.begin(recorded.directory, recorded.record, places, engine.progress.note)
    trackers.add(folder, f"artifacts/{folder.name}", str(recorded.record.get("status")))
