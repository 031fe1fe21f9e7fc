"""The COCO evaluation, run by the fastest installed package that implements it."""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import MissingDependencyError
from drivetrain.machine.packages import is_installed

IouType = Literal["bbox", "segm", "keypoints"]

# package -> (module, evaluation class, options that silence it)
_EVALUATIONS: dict[str, tuple[str, str]] = {
    "ultrafast_pycocotools": ("ultrafast_pycocotools.cocoeval", "COCOeval"),
    "faster_coco_eval": ("faster_coco_eval", "COCOeval_faster"),
    "pycocotools": ("pycocotools.cocoeval", "COCOeval"),
}


def backend() -> str:
    """The name of the installed package to use.

    Raises:
        MissingDependencyError: none is installed.
    """
    for name in _EVALUATIONS:
        if is_installed(name):
            return name
    raise MissingDependencyError(
        f"Detection metrics need one of the packages {', '.join(_EVALUATIONS)}, and none is installed. "
        'Install one with: pip install "drivetrain[lightning]"'
    )


def mask_functions() -> ModuleType:
    """The backend's module with ``encode``, ``merge``, ``frPyObjects``, ``area`` and ``toBbox``."""
    return importlib.import_module(f"{backend()}.{'core.' if backend() == 'faster_coco_eval' else ''}mask")


@dataclass(slots=True)
class Annotations:
    """Truth and predictions as COCO annotations, numbered from 1 in the order of the images."""

    images: list[dict[str, Any]] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Curves:
    """The result of one evaluation, with -1 where there is no truth.

    Attributes:
        precision: ``(10 IoU thresholds, 101 recalls, classes, areas)`` with the maximum number of detections.
        recall: ``(10 IoU thresholds, classes, areas)``, likewise.
        areas: the name of each area range, ``"all"`` first.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    areas: tuple[str, ...]

    def average_precision(self, threshold: int | None = None, area: str = "all") -> float:
        """The mean over classes (and over thresholds, or at the given index); NaN without truth."""
        if area not in self.areas:
            return float("nan")
        values = self.precision[..., self.areas.index(area)]
        return _mean(values if threshold is None else values[threshold])

    def average_recall(self) -> float:
        """The mean over thresholds and classes; NaN without truth."""
        return _mean(self.recall[..., self.areas.index("all")])

    def at_half(self) -> NDArray[np.float64]:
        """``(101 recalls, classes)``: the precision at an overlap of 0.5, -1 for classes without truth."""
        return self.precision[0, :, :, self.areas.index("all")]

    def by_class(self) -> list[float]:
        """The average precision of each class."""
        values = self.precision[..., self.areas.index("all")]
        return [_mean(values[:, :, label]) for label in range(values.shape[2])]


def evaluate_curves(
    annotations: Annotations, classes: int, iou_type: IouType, sigmas: NDArray[np.float64] | None = None
) -> Curves:
    """Run the COCO evaluation with its default parameters.

    Args:
        annotations: annotations with category numbers 1..classes.
        classes: the number of classes.
        iou_type: what the overlap is computed on.
        sigmas: ``(K,)`` the falloff of each keypoint, for ``"keypoints"``.
    """
    name = backend()
    module, class_name = _EVALUATIONS[name]
    evaluation_class = getattr(importlib.import_module(module), class_name)
    categories = [{"id": label + 1, "name": str(label)} for label in range(classes)]
    # silence the progress that the packages print to standard output
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _handle(name, annotations.images, categories, annotations.truth)
        found = _handle(name, annotations.images, categories, annotations.found)
        evaluation = evaluation_class(truth, found, iou_type)
        parameters = evaluation.params
        parameters.imgIds = [image["id"] for image in annotations.images]
        parameters.catIds = [category["id"] for category in categories]
        if sigmas is not None:
            parameters.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
    return Curves(
        np.asarray(evaluation.eval["precision"])[..., -1],
        np.asarray(evaluation.eval["recall"])[..., -1],
        tuple(parameters.areaRngLbl),
    )


def _handle(
    name: str, images: list[dict[str, Any]], categories: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> Any:
    """The package's own data set object over the lists, without copying them."""
    handle = importlib.import_module(f"{name}.{'core.' if name == 'faster_coco_eval' else ''}coco").COCO()
    handle.dataset = {"images": images, "categories": categories, "annotations": annotations}
    handle.createIndex()
    return handle


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")
