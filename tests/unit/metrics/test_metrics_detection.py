"""Detection, instance and keypoint metrics against pycocotools' own loader, evaluation and summary."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from drivetrain.errors import DataError, MissingDependencyError
from drivetrain.metrics import _coco, evaluate
from drivetrain.types import Prediction, Predictions, Sample, Task

NAMES = ["cat", "dog", "bird"]
BACKENDS = ["ultrafast_pycocotools", "faster_coco_eval", "pycocotools"]
SIZE = (160, 200)


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    monkeypatch.setattr(_coco, "is_installed", lambda name: name == request.param)
    return request.param


def _scene(seed, images=14, tied=False, points=0):
    """Objects of all sizes with crowds, empty images, jittered, missed and invented predictions."""
    rng = np.random.default_rng(seed)
    samples, items = [], []
    for number in rng.permutation(images):
        count = 0 if number % 5 == 0 else int(rng.integers(1, 7))
        corner = rng.uniform(0, [SIZE[1] - 20, SIZE[0] - 20], (count, 2))
        extent = rng.choice([8, 30, 70, 120], (count, 1)) * rng.uniform(0.6, 1.3, (count, 2))
        boxes = np.concatenate([corner, np.minimum(corner + extent, [SIZE[1], SIZE[0]])], axis=1).astype(np.float32)
        labels = rng.integers(0, 2 if seed % 2 else 3, count)
        crowd = rng.random(count) < 0.15
        polygons = tuple((_ellipse(box),) for box in boxes)
        rles = tuple(
            _crowd_runs(box, index % 2 == 0) if is_crowd else None
            for index, (box, is_crowd) in enumerate(zip(boxes, crowd, strict=True))
        )
        keypoints = None
        if points:
            inside = boxes[:, None, :2] + rng.random((count, points, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
            seen = rng.integers(0, 3, (count, points, 1)) * (rng.random((count, 1, 1)) > 0.15)
            keypoints = np.concatenate([inside, seen], axis=2).astype(np.float32)
        area = np.array([mask_api.area(_runs(r, p)) for r, p in zip(rles, polygons, strict=True)], np.float32)
        path = f"{number:03}.png"
        samples.append(
            Sample(path, SIZE, image_id=int(number) * 7, boxes=boxes, box_labels=labels, polygons=polygons, rles=rles,
                   keypoints=keypoints, area=area, iscrowd=crowd)
        )  # fmt: skip
        items.append(_answer(rng, path, boxes, labels, keypoints, tied))
    return samples, items


def _answer(rng, path, boxes, labels, keypoints, tied):
    repeats = np.repeat(np.arange(len(boxes)), rng.integers(0, 3, len(boxes)))
    invented = rng.uniform(0, 100, (int(rng.integers(0, 4)), 2)) if len(repeats) else np.zeros((0, 2))
    kept = boxes[repeats] + rng.normal(0, 2, (len(repeats), 4))
    found = np.concatenate([kept, np.concatenate([invented, invented + 30], axis=1)])
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 2)
    found = np.clip(found, 0, [SIZE[1], SIZE[0]] * 2).astype(np.float32)
    named = np.concatenate([labels[repeats], rng.integers(0, 3, len(invented))]).astype(np.int64)
    scores = rng.random(len(found)).astype(np.float32)
    if tied:
        scores = np.round(scores, 1)
    masks = np.zeros((len(found), *SIZE), np.bool_)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for mask, (x1, y1, x2, y2) in zip(masks, found, strict=True):
        mask[...] = ((columns - (x1 + x2) / 2) / (x2 - x1 + 1e-3)) ** 2 + (
            (rows - (y1 + y2) / 2) / (y2 - y1 + 1e-3)
        ) ** 2 < 0.25
    pose = None
    if keypoints is not None:
        pose = np.zeros((len(found), keypoints.shape[1], 3), np.float32)
        pose[: len(repeats)] = keypoints[repeats] + rng.normal(0, 2, (len(repeats), keypoints.shape[1], 3))
        pose[len(repeats) :, :, :2] = rng.uniform(0, 100, (len(invented), keypoints.shape[1], 2))
    return Prediction(path, SIZE, labels=named, scores=scores, boxes=found, masks=masks, keypoints=pose)


def _ellipse(box):
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    center, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return (center + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def _crowd_runs(box, compressed):
    mask = np.zeros(SIZE, np.uint8, order="F")
    x1, y1, x2, y2 = box.astype(int)
    mask[y1:y2, x1:x2] = 1
    if compressed:
        return mask_api.encode(mask)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=np.uint8(0)))
    return {"size": list(SIZE), "counts": np.diff(edges, prepend=0, append=flat.size).tolist()}


def _runs(rle, polygon):
    if rle is None:
        return mask_api.merge(mask_api.frPyObjects([polygon[0].astype(float).ravel().tolist()], *SIZE))
    return rle if isinstance(rle["counts"], bytes) else mask_api.frPyObjects(rle, *SIZE)


def _referee(samples, items, iou_type, sigmas=None):
    """The statistics of pycocotools after a round trip through JSON, called in the usual way."""
    xywh = lambda box: [float(v) for v in (box[0], box[1], np.float64(box[2]) - box[0], np.float64(box[3]) - box[1])]  # noqa: E731
    by_path = {item.path: item for item in items}
    truth = {
        "info": {},
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": m} for n, m in enumerate(NAMES)],
    }
    found = []
    for sample in sorted(samples, key=lambda s: s.image_id):
        truth["images"].append({"id": sample.image_id, "height": SIZE[0], "width": SIZE[1]})
        for n, box in enumerate(sample.boxes):
            rle = sample.rles[n]
            if rle is not None and isinstance(rle["counts"], bytes):
                rle = {**rle, "counts": rle["counts"].decode()}
            annotation = {
                "id": len(truth["annotations"]) + 1, "image_id": sample.image_id, "bbox": xywh(box),
                "category_id": int(sample.box_labels[n]), "area": float(sample.area[n]),
                "iscrowd": int(sample.iscrowd[n]),
                "segmentation": rle or [sample.polygons[n][0].astype(float).ravel().tolist()],
            }  # fmt: skip
            if sample.keypoints is not None:
                annotation["keypoints"] = sample.keypoints[n].astype(float).ravel().tolist()
                annotation["num_keypoints"] = int((sample.keypoints[n, :, 2] > 0).sum())
            truth["annotations"].append(annotation)
        item = by_path[sample.path]
        for n, box in enumerate(item.boxes):
            entry = {"image_id": sample.image_id, "category_id": int(item.labels[n]), "score": float(item.scores[n])}
            if iou_type == "bbox":
                entry["bbox"] = xywh(box)
            elif iou_type == "segm":
                runs = mask_api.encode(np.asfortranarray(item.masks[n], np.uint8))
                entry["segmentation"] = {**runs, "counts": runs["counts"].decode()}
            else:
                entry["keypoints"] = item.keypoints[n].astype(float).ravel().tolist()
            found.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        handle = COCO()
        handle.dataset = json.loads(json.dumps(truth))
        handle.createIndex()
        evaluation = COCOeval(handle, handle.loadRes(json.loads(json.dumps(found))), iou_type)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = np.where(evaluation.stats == -1, np.nan, evaluation.stats)
    each = evaluation.eval["precision"][:, :, :, 0, -1]
    return stats, [each[:, :, n][each[:, :, n] > -1].mean() if (each[:, :, n] > -1).any() else np.nan for n in range(3)]


def _evaluate(samples, items, task):
    return evaluate(samples, Predictions(items, task=task, label_names=NAMES), task=task, label_names=NAMES)


BOX_NAMES = ["map", "map_50", "map_75", "map_small", "map_medium", "map_large"]


@pytest.mark.parametrize("seed", range(6))
def test_boxes_equal_pycocotools(seed, backend):
    samples, items = _scene(seed, tied=seed >= 3)
    stats, each = _referee(samples, items, "bbox")
    found = _evaluate(iter(samples), items[::-1], Task.DETECTION)
    np.testing.assert_allclose([found[n] for n in [*BOX_NAMES, "mar_100"]], stats[[0, 1, 2, 3, 4, 5, 8]], atol=1e-9)
    np.testing.assert_allclose(list(found.per_class["map"].values()), each, atol=1e-9)
    assert found.tables["backend"] == backend
    assert found.count == 14
    assert 0.05 < found["map"] < 0.95


@pytest.mark.parametrize("seed", range(4))
def test_masks_equal_pycocotools(seed, backend):
    samples, items = _scene(seed, tied=seed >= 2)
    found = _evaluate(samples, items, Task.INSTANCE_SEGMENTATION)
    stats, each = _referee(samples, items, "segm")
    np.testing.assert_allclose([found[f"mask_{n}"] for n in BOX_NAMES[:3]], stats[:3], atol=1e-9)
    np.testing.assert_allclose(list(found.per_class["mask_map"].values()), each, atol=1e-9)
    stats, _ = _referee(samples, items, "bbox")
    np.testing.assert_allclose([found[n] for n in BOX_NAMES], stats[:6], atol=1e-9)


@pytest.mark.parametrize("points", [17, 4])
@pytest.mark.parametrize("seed", range(2))
def test_keypoints_equal_pycocotools(seed, points, backend):
    samples, items = _scene(seed, tied=seed == 1, points=points)
    found = _evaluate(samples, items, Task.KEYPOINT_DETECTION)
    sigmas = np.array(found.tables["keypoint_sigmas"])
    if points == 4:
        assert sigmas.tolist() == [0.25] * 4
    stats, each = _referee(samples, items, "keypoints", sigmas if points == 4 else None)
    np.testing.assert_allclose([found[f"keypoint_{n}"] for n in BOX_NAMES[:3]], stats[:3], atol=1e-9)
    np.testing.assert_allclose(list(found.per_class["keypoint_map"].values()), each, atol=1e-9)
    stats, _ = _referee(samples, items, "bbox")
    np.testing.assert_allclose([found[n] for n in BOX_NAMES], stats[:6], atol=1e-9)


def test_ties_follow_the_image_id_and_not_the_order_given():
    samples, items = _scene(3, images=30, tied=True)
    expected = _evaluate(samples, items, Task.DETECTION)
    assert str(dict(_evaluate(samples[::-1], items, Task.DETECTION))) == str(dict(expected))
    renumbered = [replace(sample, image_id=1000 - sample.image_id) for sample in samples]
    assert dict(_evaluate(renumbered, items, Task.DETECTION))["map"] != expected["map"]


def test_without_area_the_box_or_the_mask_counts():
    samples, items = _scene(1)
    bare = [replace(sample, area=None, iscrowd=None) for sample in samples]
    boxed = []
    for sample in samples:
        area = np.prod(sample.boxes[:, 2:].astype(np.float64) - sample.boxes[:, :2], axis=1)
        boxed.append(replace(sample, area=area, iscrowd=np.zeros(len(area), np.bool_)))
    assert str(dict(_evaluate(bare, items, Task.DETECTION))) == str(dict(_evaluate(boxed, items, Task.DETECTION)))
    masked = [replace(sample, iscrowd=None) for sample in samples]
    found = _evaluate(bare, items, Task.INSTANCE_SEGMENTATION)
    assert str(dict(found)) == str(dict(_evaluate(masked, items, Task.INSTANCE_SEGMENTATION)))


def test_no_true_object_is_nan_with_a_warning(backend):
    samples, items = _scene(2, images=5)
    empty = [Sample(s.path, SIZE, image_id=s.image_id) for s in samples]
    with pytest.warns(UserWarning, match="map, because there is no true object"):
        found = _evaluate(empty, items, Task.DETECTION)
    assert np.isnan(found["map"])
    assert np.isnan(found.per_class["map"]["cat"])


def test_no_prediction_at_all_is_zero(backend):
    samples, items = _scene(2, images=5)
    none = {"labels": np.zeros(0, np.int64), "scores": np.zeros(0, np.float32), "boxes": np.zeros((0, 4), np.float32)}
    nothing = [Prediction(item.path, SIZE, **none, masks=np.zeros((0, *SIZE), np.bool_)) for item in items]
    found = _evaluate(samples, nothing, Task.INSTANCE_SEGMENTATION)
    assert found["map"] == 0.0
    assert found["mask_map"] == 0.0


def test_masks_without_boxes_are_bounded(backend):
    samples, items = _scene(1)
    bare = [replace(sample, boxes=None) for sample in samples]
    found = _evaluate(bare, [replace(item, boxes=None) for item in items], Task.INSTANCE_SEGMENTATION)
    assert found["mask_map"] == _evaluate(samples, items, Task.INSTANCE_SEGMENTATION)["mask_map"]
    assert found["map"] > 0.05


def test_an_object_without_outline_counts_with_its_box_but_not_if_all_lack_one():
    samples, items = _scene(1)
    partly = [replace(s, polygons=((), *s.polygons[1:]) if s.polygons else (), rles=None) for s in samples]
    assert 0 < _evaluate(partly, items, Task.INSTANCE_SEGMENTATION)["mask_map"] < 1
    bare = [replace(sample, polygons=None, rles=None) for sample in samples]
    with pytest.raises(DataError, match="true objects has a polygon or run lengths"):
        _evaluate(bare, items, Task.INSTANCE_SEGMENTATION)


def test_nothing_is_printed(backend, capfd):
    _evaluate(*_scene(1, points=17), Task.KEYPOINT_DETECTION)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_without_any_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_coco, "is_installed", lambda name: False)
    with pytest.raises(MissingDependencyError, match=r"pip install \"drivetrain\[lightning\]\""):
        _evaluate(*_scene(0), Task.DETECTION)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        (Task.DETECTION, {"boxes": None}, "has no boxes"),
        (Task.DETECTION, {"scores": np.zeros(1, np.float32)}, "finite scores"),
        (Task.DETECTION, {"labels": np.zeros(1, np.int64)}, "objects, but 1 labels"),
        (Task.INSTANCE_SEGMENTATION, {"masks": None}, "has no masks"),
        (Task.INSTANCE_SEGMENTATION, {"masks": np.zeros((1, *SIZE), np.bool_)}, "boxes, but 1 masks"),
        (Task.KEYPOINT_DETECTION, {"keypoints": None}, "has no keypoints"),
        (Task.KEYPOINT_DETECTION, {"keypoints": np.zeros((1, 17, 3), np.float32)}, "boxes, but 1 keypoints"),
    ],
)
def test_malformed_predictions_are_refused(task, change, message):
    samples, items = _scene(1, points=17)
    longest = max(range(len(items)), key=lambda n: len(items[n].boxes))
    items[longest] = replace(items[longest], **change)
    with pytest.raises(DataError, match=message):
        _evaluate(samples, items, task)


def test_different_numbers_of_keypoints_are_refused():
    samples, _ = _scene(1, points=17)
    _, items = _scene(1, points=4)
    with pytest.raises(DataError, match="differ in their number of keypoints"):
        _evaluate(samples, items, Task.KEYPOINT_DETECTION)
