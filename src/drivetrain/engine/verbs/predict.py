"""Predict: ask the model about images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.state import EngineState
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.files import explained
from drivetrain.types.options import check_at_least

if TYPE_CHECKING:
    from drivetrain.types import Predictions

NEEDS = ("infer",)


def predict(
    self: EngineState,
    source: Any = None,
    *,
    checkpoint: str | Path | None = None,
    batch_size: int | None = None,
    confidence: float | None = None,
    strict: bool = False,
    save_images: bool = False,
) -> Predictions:
    """Ask the model about images.

    Args:
        source: an array (H, W, 3) uint8 RGB, a file, folder, glob or video, a list of them, or a data set; the test
            images of the engine's data if not given.
        checkpoint: "best", "last" or a path; the best if there is one, else the last.
        batch_size: images in a step.
        confidence: leave out objects with a lower score (0..1).
        strict: an unreadable image is an error; otherwise it is left out and named in ``Predictions.skipped``.
        save_images: draw the answers on the images, in the folder "predictions" of the work dir.

    Returns:
        One prediction for each image, in the order of the images, in pixels of the original image.

    Raises:
        DataError: there are no images.
        ImageError: no image can be read, or one cannot be and ``strict`` is set.
        UnsupportedOptionError: the task has no use for ``confidence``.
    """
    self.require("predict", NEEDS)
    check_at_least("batch_size", batch_size, 1)
    if confidence is not None and not 0.0 <= confidence <= 1.0:
        raise OptionError(f"confidence={confidence} must be between 0 and 1.")
    self.select(checkpoint)
    if confidence is not None and not self.task.has_objects:
        raise UnsupportedOptionError(
            f"confidence={confidence} cannot be honoured: {self.task.value} has no objects to leave out."
        )
    from drivetrain.images.sources import require_readable
    from drivetrain.images.stream import ImageStream

    images = ImageStream(
        self.dataset.subset("test").paths if source is None else source, strict=strict, keep=save_images
    )
    predictions = self.answer(images, batch_size=batch_size, confidence=confidence)
    require_readable(predictions, predictions.skipped)
    if save_images:
        from drivetrain.report import save_drawings

        folder = self.work_dir / "predictions"
        with explained(folder):
            save_drawings(predictions, folder, images=images.again(predictions))
        self.progress.note(f"Drawn predictions: {folder}")
    return predictions
