"""Predictions in words: repr, shortcuts, counts, plain data."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from drivetrain.images.rle import decode_mask
from drivetrain.types import Prediction, Predictions, Sample, Task
from drivetrain.types.truth import Truth

NAMES = ("cat", "dog")


def objects(*labels: int, **more: Any) -> Prediction:
    scores = np.linspace(0.9, 0.5, len(labels), dtype=np.float32)
    boxes = np.array([[1, 2, 3, 4]] * len(labels), np.float32).reshape(-1, 4)
    return Prediction("a.png", (20, 30), labels=np.array(labels, np.int64), scores=scores, boxes=boxes, **more)


def detections(*items: Prediction, **more: Any) -> Predictions:
    return Predictions(items, task=Task.DETECTION, label_names=NAMES, **more)


def anomalies(*scores: float) -> Predictions:
    items = [Prediction(f"{n}.png", (20, 30), anomaly_score=score) for n, score in enumerate(scores)]
    return Predictions(items, task=Task.ANOMALY, label_names=())


def test_a_repr_is_one_short_line_without_arrays() -> None:
    answers = detections(objects(0, 1, 1), objects(), skipped=[("bad.png", "cut off")])
    assert repr(answers) == "Predictions(2 images, detection: 2 dog, 1 cat; 1 skipped)"
    assert repr(answers[0]) == "Prediction('a.png', 30 x 20 pixels: cat 0.900, dog 0.700, dog 0.500)"
    assert repr(answers[1]) == "Prediction('a.png', 30 x 20 pixels: nothing)"
    assert repr(anomalies(0.9, 0.2)[0]) == "Prediction('0.png', 30 x 20 pixels: anomalous 0.900)"
    masked = objects(*[1] * 40, masks=np.zeros((40, 20, 30), np.bool_))
    assert len(repr(detections(masked)[0])) < 120
    depth = Prediction("", (2, 2), depth_map=np.array([[1, 2], [9.5, np.nan]], np.float32))
    assert repr(depth) == "Prediction('', 2 x 2 pixels: depth 1 to 9.5)"
    assert repr(Predictions([depth], task=Task.DEPTH, label_names=())) == "Predictions(1 image, depth)"


def test_many_classes_are_cut_in_the_repr_and_whole_in_the_counts() -> None:
    names = [f"class{n}" for n in range(100)]
    items = [Prediction("", (2, 2), labels=np.array([n])) for n in range(80)]
    answers = Predictions(items, task=Task.CLASSIFICATION, label_names=names)
    assert repr(answers).endswith("1 class4 and 75 more classes)")
    assert len(answers.class_counts()) == 100
    assert answers.class_counts()["class99"] == 0


def test_names_of_digits_are_told_from_counts() -> None:
    items = [Prediction("", (2, 2), labels=np.array([n])) for n in (1, 1, 0)]
    assert "2 '7', 1 '3'" in repr(Predictions(items, task=Task.CLASSIFICATION, label_names=("3", "7")))


def test_the_label_is_the_surest_one() -> None:
    item = detections(Prediction("", (2, 2), labels=np.array([0, 1]), scores=np.array([0.2, 0.7])))[0]
    assert (item.label, item.label_name) == (1, "dog")
    assert detections(objects())[0].label is detections(objects())[0].label_name is None
    assert anomalies(0.5)[0].label is None
    assert detections(Prediction("", (2, 2), labels=np.array([7])))[0].label_name == "7"


def test_anomalous_means_at_the_threshold_or_above() -> None:
    assert [item.is_anomalous for item in anomalies(0.5, 0.499)] == [True, False]
    assert objects(0).is_anomalous is None


def test_counts_are_of_objects_or_of_images() -> None:
    answers = detections(objects(0, 1, 1), objects(1))
    assert answers.class_counts() == {"cat": 1, "dog": 3}
    assert answers[0].class_counts() == {"cat": 1, "dog": 2}
    assert answers[1:].class_counts() == {"cat": 0, "dog": 1}
    assert anomalies(0.9, 0.8, 0.1).class_counts() == {"normal": 1, "anomalous": 2}
    maps = [Prediction("", (1, 3), class_map=np.array([row])) for row in ([0, 0, 1], [0, 0, 0])]
    assert Predictions(maps, task=Task.SEMANTIC_SEGMENTATION, label_names=NAMES).class_counts() == {"cat": 2, "dog": 1}


def test_every_prediction_of_a_series_knows_its_names_and_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(detections(objects(1))))
    assert again[0].label_names == NAMES
    assert again[0].label_name == "dog"


def test_plain_data_are_json_and_exact() -> None:
    mask = np.zeros((1, 20, 30), np.bool_)
    mask[0, 2:5, 3:9] = True
    item = objects(1, masks=mask)
    answers = detections(item, Prediction("b.png", (5, 5), probabilities=np.array([np.nan, 0.25], np.float32)))
    plain = json.loads(answers.to_json())
    assert plain == answers.to_dict()
    first, second = plain["predictions"]
    assert (first["labels"], first["names"], first["size"]) == ([1], ["dog"], [20, 30])
    assert first["scores"] == [0.9], "0.9 of float32 is not 0.8999999761581421"
    assert first["boxes"] == [[1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_array_equal(decode_mask(first["masks"][0]), mask[0])
    assert second["probabilities"] == [None, 0.25]
    assert "truth" not in first
    assert json.loads(answers[0].to_json(indent=2)) == first


def test_an_anomaly_and_a_class_map_as_plain_data() -> None:
    heat = np.eye(4, dtype=np.float32)
    item = Prediction("", (4, 4), anomaly_score=0.75, anomaly_map=heat, anomaly_mask=heat > 0.5, explanation="a dent")
    plain = item.to_dict()
    assert (plain["is_anomalous"], plain["anomaly_score"], plain["explanation"]) == (True, 0.75, "a dent")
    np.testing.assert_array_equal(decode_mask(plain["anomaly_mask"]), heat > 0.5)
    assert "anomaly_map" not in plain
    shares = Prediction("", (1, 4), class_map=np.array([[0, 1, 1, 1]]), label_names=NAMES).to_dict()["class_shares"]
    assert shares == {"dog": 0.75, "cat": 0.25}


def test_the_truth_stands_beside_the_answer() -> None:
    boxes, numbers = np.array([[0, 0, 9, 9]], np.float32), np.array([0])
    samples = [
        Sample("a.png", (20, 30), boxes=boxes, box_labels=numbers, polygons=((boxes.reshape(2, 2),),)),
        Sample("c.png", (20, 30), labels=np.array([1])),
    ]
    truth = Truth(samples, ["a.png", "c.png"], ["wolf", "cat"])  # numbered differently from the model
    row = detections(objects(1), truth=truth).to_dict()["predictions"][0]["truth"]
    assert row == {"names": ["wolf"], "boxes": [[0.0, 0.0, 9.0, 9.0]], "segmentation": [[[0.0, 0.0, 9.0, 9.0]]]}
    assert truth["c.png"].labels.tolist() == [1]
    assert "b.png" not in truth
    assert len(truth) == 2
    bad = Sample("d.png", (20, 30), anomalous=True, labels=np.array([0]), mask_path="d_mask.png")
    marked = Predictions(
        [Prediction("d.png", (20, 30), anomaly_score=0.1)],
        task=Task.ANOMALY,
        label_names=(),
        truth=Truth([bad], ["d.png"], ["scratch"]),
    )
    row = marked.to_dict()["predictions"][0]["truth"]
    assert row == {"names": ["scratch"], "is_anomalous": True, "mask_path": "d_mask.png"}


@pytest.mark.parametrize("source", ["folder", ["a.png"], np.zeros((2, 2, 3), np.uint8), object()])
def test_only_a_data_set_knows_the_truth(source: object) -> None:
    assert Truth.of(source) is None
