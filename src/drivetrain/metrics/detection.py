"""COCO average precision of boxes, instance masks and keypoints, equal to pycocotools'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.masks import has_outline, object_count, rings_of
from drivetrain.metrics._coco import Annotations, Curves, backend, evaluate_curves, mask_functions
from drivetrain.metrics._outcome import Evaluation, Pairs
from drivetrain.metrics._ranking import precision_by_recall
from drivetrain.types import Prediction, Sample

# the published falloff of the 17 COCO keypoints, nose to ankles
_PERSON_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
_PERSON_KEYPOINTS = len(_PERSON_SIGMAS)


def boxes(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``map``, ``map_50``, ``map_75``, ``map_small``, ``map_medium``, ``map_large`` and ``mar_100`` of boxes.

    ``tables["precision_recall"]`` has the curve of each class at an overlap of 0.5. An area range without true objects
    is NaN, without a warning. Ties in score are settled in the order of
    ``image_id`` (then of the path), and within an image in the order of the predictions.

    Raises:
        DataError: a prediction has no boxes, or the numbers of labels, scores and boxes differ.
        MissingDependencyError: no package for COCO metrics is installed.
    """
    annotations = Annotations()
    for sample, prediction in _in_order(pairs, annotations):
        _add_truth(annotations, sample, len(label_names), _true_boxes(sample))
        _add_found(annotations, prediction, len(label_names))
    return _outcome({"": evaluate_curves(annotations, len(label_names), "bbox")}, label_names)


def instances(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """The metrics of :func:`boxes`, and ``mask_map``, ``mask_map_50``, ``mask_map_75`` of the masks.

    A true object without an outline is represented by its box, unless none has an outline.

    Raises:
        DataError: a prediction has no masks, the numbers of its parts differ, or no true object has an outline.
        MissingDependencyError: no package for COCO metrics is installed.
    """
    annotations = Annotations()
    objects = outlined = 0
    for sample, prediction in _in_order(pairs, annotations):
        runs = [_true_runs(sample, index) for index in range(object_count(sample))]
        objects += len(runs)
        outlined += sum(has_outline(sample, index) for index in range(len(runs)))
        bounds = _true_boxes(sample) if sample.boxes is not None else _bounds(runs)
        _add_truth(annotations, sample, len(label_names), bounds, runs=runs)
        _add_found(annotations, prediction, len(label_names), runs=_found_runs(prediction))
    if objects and not outlined:
        raise DataError(
            f"none of the {objects} true objects has a polygon or run lengths, which instance segmentation needs; "
            "for boxes use task='detection'."
        )
    curves = {"": evaluate_curves(annotations, len(label_names), "bbox")}
    for annotation in annotations.found:
        annotation["area"] = annotation["mask_area"]
    curves["mask_"] = evaluate_curves(annotations, len(label_names), "segm")
    return _outcome(curves, label_names)


def keypoints(pairs: Pairs, label_names: Sequence[str]) -> Evaluation:
    """``keypoint_map``, ``keypoint_map_50``, ``keypoint_map_75`` by object keypoint similarity, and those of boxes.

    The falloff of each keypoint is COCO's if there are 17, else 1 / K for each of K (as in Ultralytics); it
    is in ``tables["keypoint_sigmas"]``. The metrics of :func:`boxes` are included if every prediction has boxes.

    Raises:
        DataError: a prediction has no keypoints, or their number differs from the truth's.
        MissingDependencyError: no package for COCO metrics is installed.
    """
    annotations = Annotations()
    boxed = True
    sizes: dict[int, str] = {}
    for sample, prediction in _in_order(pairs, annotations):
        if prediction.keypoints is None:
            raise DataError(f"the prediction for {prediction.path!r} has no keypoints.")
        boxed &= prediction.boxes is not None
        for part in (sample.keypoints, prediction.keypoints):
            if part is not None and len(part):
                sizes.setdefault(part.shape[1], sample.path)
        _add_truth(annotations, sample, len(label_names), _true_boxes(sample), points=sample.keypoints)
        _add_found(annotations, prediction, len(label_names), points=prediction.keypoints)
    if len(sizes) > 1:
        listed = ", ".join(f"{count} in {path!r}" for count, path in sizes.items())
        raise DataError(f"objects differ in their number of keypoints: {listed}.")
    count = next(iter(sizes), _PERSON_KEYPOINTS)
    sigmas = _PERSON_SIGMAS if count == _PERSON_KEYPOINTS else np.full(count, 1 / count)
    curves = {"": evaluate_curves(annotations, len(label_names), "bbox")} if boxed else {}
    for annotation in annotations.found:
        annotation["area"] = annotation["keypoint_area"]
    curves["keypoint_"] = evaluate_curves(annotations, len(label_names), "keypoints", sigmas)
    outcome = _outcome(curves, label_names)
    outcome.tables["keypoint_sigmas"] = sigmas.tolist()
    return outcome


def _outcome(curves: dict[str, Curves], label_names: Sequence[str]) -> Evaluation:
    values: dict[str, float] = {}
    per_class: dict[str, dict[str, float]] = {}
    for prefix, curve in curves.items():
        values[f"{prefix}map"] = curve.average_precision()
        values[f"{prefix}map_50"] = curve.average_precision(threshold=0)
        values[f"{prefix}map_75"] = curve.average_precision(threshold=5)
        if not prefix:
            for area in ("small", "medium", "large"):
                values[f"map_{area}"] = curve.average_precision(area=area)
            values["mar_100"] = curve.average_recall()
        per_class[f"{prefix}map"] = dict(zip(label_names, curve.by_class(), strict=True))
    undefined = [name for name in values if name.endswith("map") and np.isnan(values[name])]
    reasons = [f"{', '.join(undefined)}, because there is no true object"] if undefined else []
    tables: dict[str, Any] = {"backend": backend(), "label_names": list(label_names)}
    tables["precision_recall"] = precision_by_recall(list(curves.values())[-1].at_half(), label_names)
    return Evaluation(values, per_class, tables, reasons)


def _in_order(pairs: Pairs, annotations: Annotations) -> Iterator[tuple[Sample, Prediction]]:
    """The pairs by image id, each registered among the images."""
    backend()  # raise immediately if no package is installed
    ordered = sorted(pairs, key=lambda pair: (pair[0].image_id, pair[0].path))
    for number, (sample, prediction) in enumerate(ordered, start=1):
        height, width = sample.size
        annotations.images.append({"id": number, "height": int(height), "width": int(width)})
        yield sample, prediction


def _add_truth(
    annotations: Annotations,
    sample: Sample,
    classes: int,
    bounds: NDArray[np.float64],
    runs: list[dict[str, Any]] | None = None,
    points: NDArray[np.float32] | None = None,
) -> None:
    count = len(bounds)
    labels = _checked(sample.box_labels, count, classes, f"the sample {sample.path!r}")
    areas = sample.area if sample.area is not None else _areas(bounds, runs)
    crowds = sample.iscrowd if sample.iscrowd is not None else np.zeros(count, np.bool_)
    for name, part in (("area", areas), ("iscrowd", crowds), ("keypoints", points)):
        if part is not None and len(part) != count:
            raise DataError(f"the sample {sample.path!r} has {count} objects, but {len(part)} values of {name}.")
    image, first = len(annotations.images), len(annotations.truth) + 1
    rows = zip(bounds.tolist(), labels, areas.tolist(), crowds.tolist(), strict=True)
    for index, (box, label, area, crowd) in enumerate(rows):
        annotation = {
            "id": first + index,
            "image_id": image,
            "category_id": label + 1,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }
        if runs is not None:
            annotation["segmentation"] = runs[index]
        if points is not None:
            annotation["keypoints"] = points[index].astype(np.float64).ravel().tolist()
            annotation["num_keypoints"] = int((points[index, :, 2] > 0).sum())
        annotations.truth.append(annotation)


def _add_found(
    annotations: Annotations,
    prediction: Prediction,
    classes: int,
    runs: list[dict[str, Any]] | None = None,
    points: NDArray[np.float32] | None = None,
) -> None:
    bounds = _found_boxes(prediction, runs, points)
    count = len(bounds)
    labels = _checked(prediction.labels, count, classes, f"the prediction for {prediction.path!r}")
    scores = prediction.scores
    if scores is None or len(scores) != count or not np.isfinite(scores).all():
        raise DataError(f"the prediction for {prediction.path!r} needs {count} finite scores, one for each object.")
    for name, part in (("masks", runs), ("keypoints", points)):
        if part is not None and len(part) != count:
            raise DataError(f"the prediction for {prediction.path!r} has {count} boxes, but {len(part)} {name}.")
    mask_areas = _areas(bounds, runs).tolist() if runs is not None else None
    spreads = None if points is None else np.prod(np.ptp(points[:, :, :2].astype(np.float64), axis=1), axis=1).tolist()
    image, first = len(annotations.images), len(annotations.found) + 1
    for index, (box, label, score) in enumerate(zip(bounds.tolist(), labels, scores.tolist(), strict=True)):
        annotation = {
            "id": first + index,
            "image_id": image,
            "category_id": label + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        if runs is not None and mask_areas is not None:
            annotation["segmentation"], annotation["mask_area"] = runs[index], mask_areas[index]
        if points is not None and spreads is not None:
            annotation["keypoints"] = points[index].astype(np.float64).ravel().tolist()
            annotation["keypoint_area"] = spreads[index]
        annotations.found.append(annotation)


def _checked(labels: NDArray[np.int64] | None, count: int, classes: int, owner: str) -> list[int]:
    if labels is None:
        labels = np.zeros(0, np.int64)
    if len(labels) != count:
        raise DataError(f"{owner} has {count} objects, but {len(labels)} labels.")
    if count and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"{owner} has the labels {labels.min()}..{labels.max()}; there are names for 0..{classes - 1}.")
    return [int(label) for label in labels]


def _true_boxes(sample: Sample) -> NDArray[np.float64]:
    return _xywh(np.zeros((0, 4)) if sample.boxes is None else sample.boxes)


def _found_boxes(
    prediction: Prediction, runs: list[dict[str, Any]] | None, points: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    if prediction.boxes is not None:
        return _xywh(prediction.boxes)
    if points is not None:
        if not len(points):
            return np.zeros((0, 4))
        low, high = points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)
        return _xywh(np.concatenate([low, high], axis=1))
    if runs is not None:
        return _bounds(runs)
    raise DataError(f"the prediction for {prediction.path!r} has no boxes.")


def _xywh(corners: NDArray[Any]) -> NDArray[np.float64]:
    corners = corners.astype(np.float64).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _true_runs(sample: Sample, index: int) -> dict[str, Any]:
    """The run lengths of one object, as pycocotools would create them."""
    functions = mask_functions()
    height, width = sample.size
    given = sample.rles[index] if sample.rles is not None and index < len(sample.rles) else None
    if given is not None:
        if isinstance(given["counts"], str | bytes):
            return given
        return dict(functions.frPyObjects(given, height, width))
    rings = [ring.astype(np.float64).ravel().tolist() for ring in rings_of(sample, index)]
    if not rings:
        if sample.boxes is None or index >= len(sample.boxes):
            raise DataError(f"object {index} of {sample.path!r} has neither an outline nor a box.")
        x1, y1, x2, y2 = (float(value) for value in sample.boxes[index])
        rings = [[x1, y1, x1, y2, x2, y2, x2, y1]]
    return dict(functions.merge(functions.frPyObjects(rings, height, width)))


def _found_runs(prediction: Prediction) -> list[dict[str, Any]]:
    if prediction.masks is None:
        raise DataError(f"the prediction for {prediction.path!r} has no masks.")
    if not len(prediction.masks):
        return []
    planes = np.asfortranarray(prediction.masks.transpose(1, 2, 0), np.uint8)
    return list(mask_functions().encode(planes))


def _bounds(runs: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.asarray(mask_functions().toBbox(runs), np.float64).reshape(-1, 4) if runs else np.zeros((0, 4))


def _areas(bounds: NDArray[np.float64], runs: list[dict[str, Any]] | None) -> NDArray[np.float64]:
    if runs is None:
        return bounds[:, 2] * bounds[:, 3]
    return np.asarray(mask_functions().area(runs), np.float64) if runs else np.zeros(0)
