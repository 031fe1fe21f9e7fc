"""Predict: get the model's answers about images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.auto_tile import used_tile
from drivetrain.engine.chosen_sensitivity import at_sensitivity, check_early_sensitivity
from drivetrain.engine.early import Start, check_images, check_tiles, check_tracks
from drivetrain.engine.state import EngineState
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.types.options import Tile, Track, check_at_least, check_sensitivity, check_share

if TYPE_CHECKING:
    from drivetrain.types import Predictions, Task

NEEDS = ("infer",)


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    _check_values(given)
    check_early_sensitivity(start, given)
    if start.task is not None:
        _check_task(given["confidence"], start.task)
    check_images(start, given)


def _check_values(given: Mapping[str, Any]) -> None:
    check_at_least("batch_size", given["batch_size"], 1)
    check_tiles(given["tile"])
    _check_shard(given["shard"], given["track"])
    check_tracks(given["track"], given["source"])
    check_share("confidence", given["confidence"])
    output, output_format = given["output"], given["output_format"]
    if output is None and (output_format is not None or given["save_media"]):
        asked = "save_media=True" if output_format is None else f"output_format={output_format!r}"
        raise OptionError(f"{asked} needs a file or folder to write to, such as output='answers.json'.")
    _check_output(output, output_format, given["save_media"], None)


def _check_shard(shard: str | None, track: Track | None) -> None:
    if shard is None:
        return
    from drivetrain.images.shard import Shard

    Shard.parse(shard)
    if track is not None:
        raise UnsupportedOptionError(
            f"shard={shard!r} cannot be honoured: track={track!r} follows objects through all frames of a video. Leave "
            "one of them out, or give each process other videos."
        )


def _check_task(confidence: float | None, task: Task) -> None:
    if confidence is not None and not task.has_objects:
        raise UnsupportedOptionError(
            f"confidence={confidence} cannot be honoured: {task.value} has no objects to drop."
        )


def predict(
    self: EngineState,
    source: Any = None,
    *,
    checkpoint: str | Path | None = None,
    batch_size: int | None = None,
    confidence: float | None = None,
    sensitivity: float | None = None,
    tile: Tile | None = None,
    track: Track | None = None,
    shard: str | None = None,
    strict: bool = False,
    save_images: bool = False,
    output: str | Path | None = None,
    output_format: str | None = None,
    save_media: bool = False,
) -> Predictions:
    """Get the model's answers about images.

    Args:
        source: an array (H, W, 3) uint8 RGB, a file, folder, glob or video, a list of them, or a data set; by default
            the test images of the engine's data.
        checkpoint: "best", "last" or a path; by default the best if there is one, else the last.
        batch_size: images per step.
        confidence: drop objects with a lower score (0..1).
        sensitivity: how readily an anomaly model classifies images and pixels as anomalous (0..1; 0.5 is the threshold
            from validation); by default the model's own.
        tile: cut images into tiles, for small objects: the side of a tile in pixels of the image, or (side, overlap)
            with the overlap of neighbours as a fraction, 0.2 by default, or "auto" for what suits the sizes of the
            objects in the training data. Objects are also searched for in the whole image.
        track: give each object of a video the same number in all frames: "bytetrack". Objects with low scores are kept
            if they belong to a track. Several videos are tracked one by one.
        shard: the part of the images for one of several processes, such as "3/16" for the third of 16: every 16th
            image. Each image is in exactly one shard.
        strict: raise for an unreadable image; otherwise it is skipped and listed in ``Predictions.skipped``.
        save_images: draw the answers on the images, in the folder "predictions" of the work dir.
        output: a file (.json, .csv) or folder to write the answers to.
        output_format: json, csv, coco (a file if output ends in .json, else a folder), yolo, voc, cvat, dota,
            mvtec, label_studio, labelme, parquet, datumaro, image_folder, mot (a .txt of tracks), or images (drawn); by
            default derived from the suffix of output.
        save_media: copy the images into the folder of output.

    Returns:
        One prediction for each image, in the order of the images, in pixels of the original image.

    Raises:
        OptionError: ``output_format`` is unknown or does not fit ``output``, or ``sensitivity`` is not in 0..1.
        DataError: there are no images, or none in the shard.
        ImageError: no image can be read, or one cannot be and ``strict`` is set.
        UnsupportedOptionError: the task cannot use ``confidence``, ``sensitivity`` or ``track``, the source cannot be
            tracked, or the format does not hold the task.
        StorageError: an answer cannot be written.
    """
    self.require("predict", NEEDS)
    _check_values(locals())
    check_sensitivity(sensitivity)
    self.select(checkpoint)
    _check_task(confidence, self.task)
    if tile is not None:
        check_tiles(tile, self.task)
    check_tracks(track, source, self.task)
    needs_pixels = _check_output(output, output_format, save_media, self.task)
    self.warn_if_unfinished()
    with at_sensitivity(self, sensitivity):
        asked = {"batch_size": batch_size, "confidence": confidence, "tile": used_tile(self, tile), "track": track}
        predictions = _predicted(self, source, asked, shard=shard, strict=strict, keep=save_images or needs_pixels)
    if save_images:
        folder = self.work_dir / "predictions"
        with explained(folder, WORK_DIR):
            predictions.save(folder, "images")
        self.progress.note(f"Drawn predictions: {folder}")
    if output is not None:
        with explained(Path(output).parent, "output=... names the file"):
            written = predictions.save(output, output_format, save_media=save_media)
        self.progress.note(f"Predictions written: {written}")
    return predictions


def _check_output(output: str | Path | None, output_format: str | None, save_media: bool, task: Task | None) -> bool:
    """Refuse what cannot be written before predicting; return whether in-memory images must be kept for it."""
    if output is None:
        return False
    from drivetrain.data.save_predictions import check_output, needs_pixels

    return needs_pixels(output, check_output(output, output_format, task, save_media=save_media, name="output"))


def _predicted(
    engine: EngineState, source: Any, how: Mapping[str, Any], *, shard: str | None, strict: bool, keep: bool
) -> Predictions:
    """The answers about a source, with their truth if it is a data set.

    Args:
        engine: the engine that answers.
        source: the source; ``None`` for the test images of the engine's data.
        how: arguments of :meth:`EngineState.answer`.
        shard: the part of the source to predict.
        strict: raise for an unreadable image.
        keep: keep in-memory images with their answers, even those of a generator.
    """
    from drivetrain.images.shard import Shard
    from drivetrain.images.sources import is_held, require_readable
    from drivetrain.images.stream import ImageStream
    from drivetrain.types.truth import Truth

    whole = engine.dataset.subset("test") if source is None else source
    asked = whole if shard is None else Shard.parse(shard).of(whole)
    truth = Truth.of(asked)
    images = ImageStream(asked if truth is None else asked.paths, strict=strict, keep=keep or is_held(whole))
    predictions = engine.answer(images, truth=truth, **how)
    require_readable(predictions, predictions.skipped)
    return predictions
