"""Metrics of per-pixel answers (classes and depth), computed image by image to bound the memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.images.masks import IGNORED, class_map, read_mask
from drivetrain.metrics._outcome import Evaluation, Pairs

_MILLIMETRES = 1000.0


def segmentation(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``miou``, ``dice`` and ``pixel_accuracy``, and the IoU and Dice of each class.

    The means are over the classes that occur in truth or prediction, background included; the others are NaN in
    ``per_class``. Pixels of class 255 in the truth are ignored. If the truth is drawn from objects, pixels
    outside all of them belong to the class named ``background`` if there is one, and are ignored otherwise.

    Raises:
        DataError: a prediction has no class map or one of a different size, or a class of the truth has no name.
    """
    count = len(label_names)
    background = next((n for n, name in enumerate(label_names) if name.lower() == "background"), IGNORED)
    matrix = np.zeros((count, count + 1), np.int64)  # the last column is for predicted numbers without a name
    for sample, prediction in pairs:
        if prediction.class_map is None:
            raise DataError(f"the prediction for {prediction.path!r} has no class map.")
        truth = class_map(sample, background=background)
        _check_size(prediction.class_map, truth, prediction.path)
        counted = truth != IGNORED
        true, found = truth[counted], prediction.class_map[counted]
        if true.size and not 0 <= true.min() <= true.max() < count:
            raise DataError(
                f"the classes in the truth of {sample.path!r} are {true.min()}..{true.max()}; there are names for "
                f"0..{count - 1} (and {IGNORED} is ignored)."
            )
        found = np.where((found < 0) | (found >= count), count, found)
        matrix += np.bincount(true * (count + 1) + found, minlength=matrix.size).reshape(matrix.shape)
    return _overlaps(matrix, label_names)


def _overlaps(matrix: NDArray[np.int64], label_names: Sequence[str]) -> Evaluation:
    square = matrix[:, :-1]
    shared, true, found = np.diag(square), matrix.sum(axis=1), square.sum(axis=0)
    with np.errstate(invalid="ignore"):
        iou, dice = shared / (true + found - shared), 2 * shared / (true + found)
    total = int(matrix.sum())
    values = {
        "miou": _mean(iou),
        "dice": _mean(dice),
        "pixel_accuracy": float(shared.sum() / total) if total else float("nan"),
    }
    per_class = {
        name: dict(zip(label_names, (float(value) for value in column), strict=True))
        for name, column in (("iou", iou), ("dice", dice))
    }
    undefined = [] if total else ["miou, dice, pixel_accuracy, because no pixel is annotated"]
    tables = {"confusion_matrix": square.tolist(), "label_names": list(label_names)}
    return Evaluation(values, per_class, tables, undefined)


def depth(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:  # noqa: ARG001  (one signature for every task)
    """``delta1``, ``delta2``, ``delta3``, ``abs_rel`` and ``rmse``: the mean over images of the mean over pixels.

    A pixel counts if its truth is finite and above 0. The truth is the sample's mask file: ``.npy`` in the unit of
    the predictions, or a 16-bit image in thousandths of it. Predictions are not rescaled to fit. A predicted depth that
    is not finite or not above 0 counts as infinitely far off for the deltas, and as 0 for the other metrics.

    Raises:
        DataNotFoundError: a depth file does not exist.
        DataError: a sample has no depth file, or a prediction has no depth map or one of a different size.
    """
    rows = []
    for sample, prediction in pairs:
        if prediction.depth_map is None:
            raise DataError(f"the prediction for {prediction.path!r} has no depth map.")
        truth = _read_depth(sample.mask_path, sample.path, sample.size)
        _check_size(prediction.depth_map, truth, prediction.path)
        valid = np.isfinite(truth) & (truth > 0)
        if valid.any():
            rows.append(_depth_errors(truth[valid], prediction.depth_map[valid].astype(np.float64)))
    names = ("delta1", "delta2", "delta3", "abs_rel", "rmse")
    means = np.mean(rows, axis=0) if rows else np.full(len(names), np.nan)
    undefined = [] if rows else [f"{', '.join(names)}, because no pixel has a known depth"]
    return Evaluation({name: float(value) for name, value in zip(names, means, strict=True)}, undefined=undefined)


def _depth_errors(truth: NDArray[np.float64], found: NDArray[np.float64]) -> list[float]:
    usable = np.isfinite(found) & (found > 0)
    found = np.where(usable, found, 0.0)
    with np.errstate(divide="ignore"):
        ratio = np.maximum(found / truth, truth / found)
    off = found - truth
    deltas = [float((ratio < 1.25**power).mean()) for power in (1, 2, 3)]
    return [*deltas, float((np.abs(off) / truth).mean()), float(np.sqrt((off**2).mean()))]


def _read_depth(path: str | None, image: str, size: tuple[int, int]) -> NDArray[np.float64]:
    if path is None:
        raise DataError(f"the sample {image!r} has no depth file.")
    if Path(path).suffix.lower() != ".npy":
        pixels = read_mask(path, size)
        if pixels.ndim != 2:
            raise DataError(f"the depth file {path!r} has colours; one channel is needed.")
        return pixels.astype(np.float64) / _MILLIMETRES
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    except FileNotFoundError:
        raise DataNotFoundError(f"the depth file {path!r} does not exist.") from None
    except ValueError as error:
        raise DataError(f"the depth file {path!r} cannot be read: {error}") from error


def _check_size(found: NDArray[np.generic], truth: NDArray[np.generic], path: str) -> None:
    if found.shape != truth.shape:
        raise DataError(
            f"the prediction for {path!r} is a map of {found.shape} pixels, but the truth has {truth.shape}."
        )


def _mean(column: NDArray[np.float64]) -> float:
    defined = column[~np.isnan(column)]
    return float(defined.mean()) if defined.size else float("nan")
