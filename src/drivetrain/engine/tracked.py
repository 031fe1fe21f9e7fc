"""What the trackers of a run get from the engine: which of the loggers they are, and pictures of a few answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drivetrain.options import TrainOptions
from drivetrain.tracking import framework_loggers

if TYPE_CHECKING:
    from drivetrain.engine.base import Engine
    from drivetrain.run import Run

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
