"""Metrics of anomaly detection, per image and per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.masks import has_pixel_truth, rasterise
from drivetrain.metrics._image_overlap import ImageOverlap
from drivetrain.metrics._outcome import Evaluation, Pairs
from drivetrain.metrics._pixel_areas import PixelAreas
from drivetrain.metrics._ranking import area_under_roc, average_precision
from drivetrain.metrics._thresholds import threshold_rows
from drivetrain.types import Prediction, Sample

_THRESHOLD = 0.5
_BINS = 20
_NAN = float("nan")


def anomaly(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """Image metrics, and pixel metrics if the predictions have anomaly maps.

    ``image_auroc``, ``image_ap`` (average precision), ``image_f1``, ``image_precision`` and ``image_recall`` (anomalous
    means a score of at least 0.5); ``pixel_auroc`` over the pixels of all images, ``pixel_f1`` (by ``anomaly_mask``,
    else a map of at least 0.5) and ``pro``, the per-region overlap up to a false-positive rate of 0.3, as defined by
    Bergmann et al. (regions touch at edges or corners). ``aupimo``, if the normal images have at least 100,000 pixels
    in total, is the mean fraction of an anomalous image's marked pixels found at false-positive rates from 1e-5 to
    1e-4 in normal images, on a logarithmic axis, as defined by Bertoldo et al.

    ``per_class`` has ``image_auroc``, ``image_recall``, ``pixel_auroc`` and ``pro`` of each defect type (the label of
    an anomalous sample, or its number if it has no name) against all normal images. Images declared neither
    normal nor anomalous are excluded from the image metrics, and images whose defect is not marked from the pixel
    metrics; ``tables`` has their counts.

    Up to 50 million pixels the pixel areas are exact; beyond that, scores are binned with a relative resolution of
    1/8192, and ``tables["pixel_auroc_error"]`` bounds the resulting error.

    ``tables["thresholds"]`` has recall and false alarms at a few thresholds, see
    :func:`drivetrain.metrics._thresholds.threshold_rows`, and ``tables["score_histogram"]`` how many ``normal`` and
    ``anomalous`` images have scores in each twentieth of 0..1.

    Raises:
        DataError: a prediction has no (finite) score, only some have a map, or a map differs in size from its image.
    """
    images, pixels = _Images(), _Pixels()
    for sample, prediction in pairs:
        name = _defect_type(sample, label_names)
        images.add(sample, prediction, name)
        pixels.add(sample, prediction, name)
    values, undefined = images.values()
    per_class = images.by_type()
    tables: dict[str, object] = {}
    if rows := images.thresholds():
        tables["thresholds"] = rows
        tables["score_histogram"] = images.histogram()
    if images.unknown:
        tables["images_of_unknown_state"] = images.unknown
    if pixels.mapped:
        if pixels.unmapped is not None:
            raise DataError(f"the prediction for {pixels.unmapped!r} has no anomaly map, while others have one.")
        more, reasons = pixels.values()
        values.update(more)
        undefined += reasons
        per_class.update(pixels.by_type())
        if pixels.unmarked:
            tables["images_without_marked_defect"] = pixels.unmarked
        if pixels.areas.binned:
            tables["pixel_auroc_error"] = pixels.areas.error()
    return Evaluation(values, per_class, tables, undefined)


def _defect_type(sample: Sample, label_names: Sequence[str]) -> str | None:
    if not sample.anomalous or not len(sample.labels):
        return None
    label = int(sample.labels[0])
    return label_names[label] if 0 <= label < len(label_names) else str(label)


class _Images:
    """Scores of the images known to be normal or anomalous."""

    def __init__(self) -> None:
        self.unknown = 0
        self._truth: list[bool] = []
        self._scores: list[float] = []
        self._types: list[str | None] = []

    def add(self, sample: Sample, prediction: Prediction, name: str | None) -> None:
        score = prediction.anomaly_score
        if score is None or not np.isfinite(score):
            raise DataError(f"the prediction for {prediction.path!r} has the anomaly score {score}; it must be finite.")
        if sample.anomalous is None:
            self.unknown += 1
            return
        self._truth.append(sample.anomalous)
        self._scores.append(float(score))
        self._types.append(name)

    def values(self) -> tuple[dict[str, float], list[str]]:
        """The scalars, and the reason why some of them are NaN."""
        truth, scores = np.array(self._truth, np.bool_), np.array(self._scores)
        called = scores >= _THRESHOLD
        f1, precision, recall = _f1((truth & called).sum(), called.sum(), truth.sum())
        values = {
            "image_auroc": area_under_roc(truth, scores) if truth.size else _NAN,
            "image_ap": average_precision(truth, scores) if truth.size else _NAN,
            "image_f1": f1,
            "image_precision": precision,
            "image_recall": recall,
        }
        absent = [name for name, value in values.items() if np.isnan(value)]
        if not absent:
            return values, []
        if truth.any() and not truth.all():
            return values, [f"{', '.join(absent)}, because no image was called anomalous"]
        state = "no image is known to be" if not truth.any() else "every image is"
        return values, [f"{', '.join(absent)}, because {state} anomalous"]

    def thresholds(self) -> list[dict[str, Any]]:
        """Recall and false alarms at a few thresholds."""
        return threshold_rows(np.array(self._truth, np.bool_), np.array(self._scores), _THRESHOLD)

    def histogram(self) -> dict[str, list[int]]:
        """How many images have scores in each of the bins of equal width in 0..1, by their true state."""
        truth, scores = np.array(self._truth, np.bool_), np.clip(self._scores, 0, 1)
        states = (("normal", ~truth), ("anomalous", truth))
        return {name: np.histogram(scores[mine], _BINS, (0, 1))[0].tolist() for name, mine in states}

    def by_type(self) -> dict[str, dict[str, float]]:
        truth, scores = np.array(self._truth, np.bool_), np.array(self._scores)
        types = np.array([name or "" for name in self._types])
        table: dict[str, dict[str, float]] = {}
        for name in dict.fromkeys(name for name in self._types if name is not None):
            mine = types == name
            row = table.setdefault("image_auroc", {})
            row[name] = area_under_roc(truth[mine | ~truth], scores[mine | ~truth])
            table.setdefault("image_recall", {})[name] = float((scores[mine] >= _THRESHOLD).mean())
        return table


class _Pixels:
    """Maps of the images whose pixels are annotated, added one at a time."""

    def __init__(self) -> None:
        self.mapped = 0
        self.unmapped: str | None = None
        self.unmarked = 0
        self.areas = PixelAreas()
        self.overlap = ImageOverlap()
        self._hits = self._called = self._true = 0

    def add(self, sample: Sample, prediction: Prediction, name: str | None) -> None:
        scores = prediction.anomaly_map
        if scores is None:
            self.unmapped = self.unmapped or prediction.path
            return
        self.mapped += 1
        if scores.shape != tuple(sample.size):
            raise DataError(
                f"the anomaly map for {prediction.path!r} is {scores.shape} pixels, but the image is {sample.size}."
            )
        if not has_pixel_truth(sample):
            self.unmarked += 1
            return
        truth = rasterise(sample)
        called = scores >= _THRESHOLD if prediction.anomaly_mask is None else prediction.anomaly_mask
        self._hits += int((truth & called).sum())
        self._called += int(called.sum())
        self._true += int(truth.sum())
        self.areas.add(truth, scores, name)
        self.overlap.add(truth, scores)

    def values(self) -> tuple[dict[str, float], list[str]]:
        values = {
            "pixel_auroc": self.areas.auroc(),
            "pixel_f1": _f1(self._hits, self._called, self._true)[0],
            "pro": self.areas.pro(),
        }
        if self.overlap.enough:
            values["aupimo"] = self.overlap.value()
        absent = ", ".join(name for name, value in values.items() if np.isnan(value))
        return values, [f"{absent}, because the images do not have both normal and marked pixels"] if absent else []

    def by_type(self) -> dict[str, dict[str, float]]:
        types = self.areas.types()
        if not types:
            return {}
        return {
            "pixel_auroc": {name: self.areas.auroc(name) for name in types},
            "pro": {name: self.areas.pro(name) for name in types},
        }


def _f1(hits: int | NDArray[np.int64], called: int, true: int) -> tuple[float, float, float]:
    """F1, precision and recall; NaN where the denominator is 0, and for F1 if there are no positives."""
    if not true:
        return _NAN, _NAN, _NAN
    return float(2 * hits / (called + true)), float(hits / called) if called else _NAN, float(hits / true)
