"""The boxes decoder: formats, geometry and suppression, against boxes placed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivetrain.errors import ArtifactError
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.postprocess.detection import non_maximum_suppression
from drivetrain.types import ImageSpec

SIZE = (300, 500)
TRUE = np.array([[50.25, 20.5, 210.75, 99.0], [0.0, 0.0, 499.0, 299.0]], np.float32)


def _in_model(spec: ImageSpec) -> np.ndarray[Any, Any]:
    """The true boxes in pixels of the model input, by the definition of the spec."""
    top, left, bottom, right = spec.letterbox_box(SIZE)
    crop_top, crop_left, crop_bottom, crop_right = spec.crop_box(SIZE)
    scale = np.array([(right - left) / (crop_right - crop_left), (bottom - top) / (crop_bottom - crop_top)] * 2)
    return (TRUE - [crop_left, crop_top] * 2) * scale + [left, top] * 2


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("layout", ["xyxy", "cxcywh"])
@pytest.mark.parametrize("normalised", [True, False])
def test_boxes_return_to_the_original_image(resize: str, layout: str, normalised: bool) -> None:
    spec = ImageSpec.from_dict({"height": 160, "width": 128, "resize": resize})
    boxes = _in_model(spec)
    if layout == "cxcywh":
        boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    if normalised:
        boxes = boxes / [128, 160, 128, 160]
    outputs = {
        "b": boxes[None].astype(np.float32),
        "s": np.array([[0.6, 0.9]], np.float32),
        "l": np.array([[2, 1]]),
    }
    args = {"boxes": "b", "scores": "s", "labels": "l", "format": layout, "normalised": normalised, "label_offset": 1}
    prediction = make_decoder("boxes", args, ("x", "y"), spec).decode(outputs, SIZE, "a.png")
    assert prediction.labels.tolist() == [0, 1]
    np.testing.assert_allclose(prediction.scores, [0.9, 0.6])
    np.testing.assert_allclose(prediction.boxes, TRUE[::-1], atol=1e-2)
    assert prediction.boxes.dtype == np.float32


def test_scores_of_classes_with_background_and_all_classes() -> None:
    spec = ImageSpec(300, 500)
    scores = np.array([[[3.0, 1.0, -9.0], [-9.0, -9.0, 9.0]]], np.float32)
    outputs = {"b": TRUE[None], "s": scores}
    best = {"boxes": "b", "scores": "s", "activation": "softmax", "no_object": "last"}
    prediction = make_decoder("boxes", best, ("x", "y"), spec).decode(outputs, SIZE, "")
    assert prediction.labels.tolist() == [0]
    every = {"boxes": "b", "scores": "s", "activation": "sigmoid", "no_object": "last", "all_classes": True}
    prediction = make_decoder("boxes", every, ("x", "y"), spec).decode(outputs, SIZE, "")
    assert prediction.labels.tolist() == [0, 1]
    np.testing.assert_allclose(prediction.boxes, TRUE[[0, 0]])


def test_five_columns_and_nothing_found() -> None:
    spec = ImageSpec(300, 500)
    rows = np.concatenate([TRUE, [[0.3], [0.1]]], axis=1).astype(np.float32)
    prediction = make_decoder("boxes", {"boxes": "b"}, ("x",), spec).decode({"b": rows}, SIZE, "")
    assert prediction.boxes.shape == (1, 4)
    none = make_decoder("boxes", {"boxes": "b", "nms": {}}, ("x",), spec).decode({"b": rows * 0}, SIZE, "")
    assert none.boxes.shape == (0, 4)
    assert none.labels.shape == none.scores.shape == (0,)


def test_suppression_keeps_the_best_of_each_label() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    labels = np.array([0, 0, 1, 0])
    assert non_maximum_suppression(boxes, labels, 0.5).tolist() == [0, 2, 3]
    assert non_maximum_suppression(boxes, None, 0.5).tolist() == [0, 3]
    assert non_maximum_suppression(boxes, labels, 0.9).tolist() == [0, 1, 2, 3]


def test_manifests_cannot_name_just_anything() -> None:
    spec = ImageSpec(4, 4)
    for name, args in (
        ("boxs", {"boxes": "b"}),
        ("os:system", {}),
        ("nowhere.at.all:Thing", {}),
        ("boxes", {}),
        ("boxes", {"boxes": "b", "formt": "xyxy"}),
        ("boxes", {"boxes": "b", "format": "yxyx"}),
        ("classification", {"activation": "relu"}),
    ):
        with pytest.raises(ArtifactError, match="decoder"):
            make_decoder(name, args, ("x",), spec)


def test_scores_that_differ_in_the_last_bits_give_one_order() -> None:
    boxes = np.array([[8, 0, 12, 4], [0, 0, 4, 4], [0, 8, 4, 12]], np.float32)
    arguments = {"boxes": "boxes", "scores": "scores", "score_decimals": 5}
    spec = ImageSpec(height=16, width=16)
    found = [
        make_decoder("boxes", arguments, ("a",), spec).decode(
            {"boxes": boxes, "scores": np.array(scores, np.float32)}, (16, 16), "x.png"
        )
        for scores in ([0.3333333, 0.3333334, 0.9], [0.3333334, 0.3333333, 0.9])
    ]
    for prediction in found:
        np.testing.assert_array_equal(prediction.boxes, boxes[[2, 1, 0]])
