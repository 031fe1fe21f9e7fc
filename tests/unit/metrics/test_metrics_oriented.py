"""Oriented boxes: overlaps against shapely, average precision against pycocotools and a hand-made case."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from shapely import Polygon

from drivetrain.errors import DataError
from drivetrain.metrics import evaluate
from drivetrain.metrics.oriented import quad_overlaps
from drivetrain.types import Prediction, Predictions, Sample, Task

NAMES = ["ship", "plane"]
TASK = Task.ORIENTED_DETECTION


def _quads(rng, count, spread=60.0):
    center = rng.uniform(0, spread, (count, 1, 2))
    extent = rng.uniform(4, 40, (count, 1, 2))
    angle = rng.uniform(0, 2 * np.pi, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    return (unit * extent) @ turn.transpose(0, 2, 1) + center


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_equal_shapely(seed):
    rng = np.random.default_rng(seed)
    first, second = _quads(rng, 30), _quads(rng, 25)
    first[::2] = first[::2, ::-1]  # the other direction of rotation
    first[5], first[6] = second[5], second[6, [1, 2, 3, 0]]  # identical
    first[7] = second[7] + [[3.0, 0.0]]  # parallel edges
    first[8] = second[8].mean(axis=0) + (second[8] - second[8].mean(axis=0)) / 2  # contained
    crowd = rng.random(25) < 0.3
    expected = np.zeros((30, 25))
    for row, one in enumerate(map(Polygon, first)):
        for column, other in enumerate(map(Polygon, second)):
            shared = one.intersection(other).area
            expected[row, column] = shared / (one.area if crowd[column] else one.area + other.area - shared)
    np.testing.assert_allclose(quad_overlaps(first, second, crowd), expected, atol=1e-9)
    far = 1e5  # far from the origin the digits suffice
    np.testing.assert_allclose(quad_overlaps(first + far, second + far, crowd), expected, atol=1e-8)
    assert (expected > 0.3).sum() > 5


def test_overlaps_of_nothing_and_of_flat_boxes():
    assert quad_overlaps(np.zeros((0, 4, 2)), np.zeros((3, 4, 2))).shape == (0, 3)
    assert quad_overlaps(np.zeros((2, 4, 2)), np.zeros((3, 4, 2))).tolist() == [[0.0] * 3] * 2


def _scene(seed, turned=True):
    rng = np.random.default_rng(seed)
    samples, items = [], []
    for number in range(12):
        count = 0 if number == 4 else int(rng.integers(1, 8))
        quads = _quads(rng, count, 150)
        if not turned:
            low, high = quads.min(axis=1), quads.max(axis=1)
            boxes = np.concatenate([low, high], axis=1).astype(np.float32)
            quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        labels = rng.integers(0, 2, count)
        crowd = rng.random(count) < 0.2
        sample = Sample(f"{number:02}", (200, 200), image_id=number, box_labels=labels, iscrowd=crowd,
                        polygons=tuple((q.astype(np.float32),) for q in quads))  # fmt: skip
        chosen = np.repeat(np.arange(count), rng.integers(0, 3, count))
        moved = quads[chosen] + rng.normal(0, 2, (len(chosen), 1, 2))
        if not turned:
            moved = moved.astype(np.float32)
        scores = np.round(rng.random(len(chosen)), 1).astype(np.float32)
        items.append(Prediction(f"{number:02}", (200, 200), labels=labels[chosen], scores=scores, corners=moved))
        samples.append(sample)
    return samples, items


def _evaluate(samples, items):
    return evaluate(samples, Predictions(items, task=TASK, label_names=NAMES), task=TASK, label_names=NAMES)


@pytest.mark.parametrize("seed", range(6))
def test_upright_boxes_score_as_pycocotools_says(seed):
    samples, items = _scene(seed, turned=False)
    truth, found = [], []
    for sample, item in zip(samples, items, strict=True):
        for n, (ring,) in enumerate(sample.polygons):
            low, size = ring.min(0).astype(float), np.ptp(ring.astype(float), axis=0)
            truth.append({"id": len(truth) + 1, "image_id": sample.image_id, "category_id": int(sample.box_labels[n]),
                          "bbox": [*low, *size], "area": size.prod(), "iscrowd": int(sample.iscrowd[n])})  # fmt: skip
        for n, ring in enumerate(item.corners):
            low, size = ring.min(0).astype(float), np.ptp(ring.astype(float), axis=0)
            found.append({"image_id": sample.image_id, "category_id": int(item.labels[n]), "bbox": [*low, *size],
                          "score": float(item.scores[n])})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        handle = COCO()
        handle.dataset = {"info": {}, "images": [{"id": s.image_id} for s in samples], "annotations": truth,
                          "categories": [{"id": 0}, {"id": 1}]}  # fmt: skip
        handle.createIndex()
        referee = COCOeval(handle, handle.loadRes(found), "bbox")
        referee.evaluate()
        referee.accumulate()
        referee.summarize()
    measured = _evaluate(samples[::-1], items)
    names = ["map", "map_50", "map_75", "mar_100"]
    np.testing.assert_allclose([measured[n] for n in names], referee.stats[[0, 1, 2, 8]], atol=1e-9)
    assert 0.1 < measured["map"] < 0.95


def test_turned_boxes_are_scored_by_their_turned_overlap():
    samples, items = _scene(0)
    perfect = [
        replace(p, corners=np.array([r[0] for r in s.polygons]).reshape(-1, 4, 2), labels=s.box_labels,
                scores=np.ones(len(s.box_labels), np.float32))
        for s, p in zip(samples, items, strict=True)
    ]  # fmt: skip
    assert _evaluate(samples, perfect)["map"] == pytest.approx(1.0)
    thin = Sample("a", (100, 100), box_labels=np.array([0]), polygons=((_quad(80, 4, 0.0),),))
    for angle, hit in ((0.01, 1.0), (0.5, 0.0)):  # 29 degrees: the upright hulls would still overlap, the boxes hardly
        item = Prediction(
            "a", (100, 100), labels=np.array([0]), scores=np.ones(1, np.float32), corners=_quad(80, 4, angle)[None]
        )
        assert _evaluate([thin], [item])["map_50"] == pytest.approx(hit)


def _quad(width, height, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * [width, height] @ turn.T + 50).astype(np.float32)


def test_no_truth_is_nan_with_a_warning():
    samples, items = _scene(0)
    empty = [Sample(s.path, s.size) for s in samples]
    with pytest.warns(UserWarning, match="map, because"):
        assert np.isnan(_evaluate(empty, items)["map"])


def test_malformed_input_is_refused():
    samples, items = _scene(0)
    with pytest.raises(DataError, match="has no corners"):
        _evaluate(samples, [replace(items[0], corners=None), *items[1:]])
    with pytest.raises(DataError, match="one label and one score"):
        _evaluate(samples, [replace(items[0], scores=None), *items[1:]])
    triangle = replace(samples[0], polygons=((np.zeros((3, 2), np.float32),),), box_labels=np.array([0]))
    with pytest.raises(DataError, match="does not have a single ring of four corners"):
        _evaluate([triangle, *samples[1:]], items)
