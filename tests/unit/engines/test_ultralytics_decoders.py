"""The decoders of Ultralytics' heads, on hand-made outputs."""

from __future__ import annotations

import numpy as np
import pytest

from drivetrain.errors import ArtifactError
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.types import ImageSpec

SPEC = ImageSpec(64, 64, resize="letterbox", antialias=False)
NAMES = ("circle", "square")


def _anchors(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).T[None]


def test_boxes_return_to_the_pixels_of_a_wide_image() -> None:
    output = _anchors([32, 32, 16, 8, 0.9, 0.1])
    found = make_decoder("yolo", {}, NAMES, SPEC).decode({"objects": output}, (64, 128), "a.png")
    assert found.boxes is not None
    assert found.boxes.tolist() == [[48.0, 24.0, 80.0, 40.0]]
    assert found.labels is not None
    assert found.labels.tolist() == [0]


def test_overlapping_boxes_of_one_class_are_left_out_and_of_another_stay() -> None:
    output = _anchors([20, 20, 10, 10, 0.9, 0], [20.5, 20, 10, 10, 0.8, 0], [20, 20, 10, 10, 0, 0.7])
    found = make_decoder("yolo", {}, NAMES, SPEC).decode({"objects": output}, (64, 64), "")
    assert found.scores is not None
    assert found.scores == pytest.approx([0.9, 0.7])
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1]


def test_the_threshold_and_the_largest_number_are_kept() -> None:
    rows = [[5 + 10 * n, 5, 4, 4, 0.9 - 0.1 * n, 0] for n in range(5)]
    arguments = {"confidence_threshold": 0.55, "max_detections": 3}
    found = make_decoder("yolo", arguments, NAMES, SPEC).decode({"objects": _anchors(*rows)}, (64, 64), "")
    assert found.scores == pytest.approx([0.9, 0.8, 0.7])


def test_a_head_without_suppression_gives_corners() -> None:
    output = np.array([[[8, 8, 24, 40, 0.8, 1], [8, 8, 24, 40, 0.1, 0]]], np.float32)
    found = make_decoder("yolo", {"layout": "objects"}, NAMES, SPEC).decode({"objects": output}, (32, 32), "")
    assert found.boxes is not None
    assert found.boxes.tolist() == [[4.0, 4.0, 12.0, 20.0]]


def test_queries_are_fractions_of_a_stretched_input() -> None:
    spec = ImageSpec(64, 64, resize="stretch", antialias=False)
    output = np.array([[[0.5, 0.5, 0.5, 0.25, 0.8, 1]]], np.float32)
    found = make_decoder("yolo", {"layout": "queries"}, NAMES, spec).decode({"objects": output}, (100, 200), "")
    assert found.boxes is not None
    assert found.boxes == pytest.approx(np.array([[50, 37.5, 150, 62.5]]))


def test_masks_are_as_large_as_the_image_and_end_at_their_box() -> None:
    prototypes = np.full((1, 1, 16, 16), -1.0, np.float32)
    prototypes[0, 0, 4:12, :8] = 1.0  # rows 16 to 48 and columns 0 to 32 of the input
    output = _anchors([24, 32, 32, 64, 0.9, 0, 1.0])
    decoder = make_decoder("yolo", {"kind": "masks"}, NAMES, SPEC)
    found = decoder.decode({"objects": output, "prototypes": prototypes}, (128, 128), "")
    assert found.masks is not None
    assert found.masks.shape == (1, 128, 128)
    rows, columns = np.flatnonzero(found.masks[0].any(1)), np.flatnonzero(found.masks[0].any(0))
    assert (rows[0], rows[-1] + 1) == (32, 96)
    assert (columns[0], columns[-1] + 1) == (16, 64)


@pytest.mark.parametrize("values", [2, 3])
def test_keypoints_have_a_visibility(values: int) -> None:
    points = [[10, 12, 0.4][:values], [20, 22, 0.6][:values]]
    output = _anchors([32, 32, 16, 16, 0.9, 0, *points[0], *points[1]])
    decoder = make_decoder("yolo", {"kind": "keypoints", "keypoints": [2, values]}, NAMES, SPEC)
    found = decoder.decode({"objects": output}, (128, 64), "")
    assert found.keypoints is not None
    wanted = [[[-12, 24, 0.4], [8, 44, 0.6]]] if values == 3 else [[[-12, 24, 1], [8, 44, 1]]]
    assert found.keypoints == pytest.approx(np.array(wanted))


def test_oriented_boxes_are_four_corners_clockwise() -> None:
    output = _anchors([32, 32, 20, 10, 0.9, 0, np.pi / 2], [32, 32, 20, 10, 0.8, 0, np.pi / 2])
    decoder = make_decoder("yolo", {"kind": "corners"}, NAMES, SPEC)
    found = decoder.decode({"objects": output}, (64, 64), "")
    assert found.corners is not None
    assert found.corners[0] == pytest.approx(np.array([[37, 22], [37, 42], [27, 42], [27, 22]]), abs=1e-4)
    assert len(found.corners) == 1


def test_turned_boxes_that_cross_are_two_objects() -> None:
    output = _anchors([32, 32, 40, 4, 0.9, 0, 0.0], [32, 32, 40, 4, 0.8, 0, np.pi / 2])
    found = make_decoder("yolo", {"kind": "corners"}, NAMES, SPEC).decode({"objects": output}, (64, 64), "")
    assert found.scores is not None
    assert len(found.scores) == 2


def test_class_maps_are_interpolated_before_the_best_is_taken() -> None:
    logits = np.zeros((1, 2, 64, 64), np.float32)
    logits[0, 1, :, 32:] = 2.0
    logits[0, 0, :, :32] = 2.0
    found = make_decoder("class_map", {}, NAMES, SPEC).decode({"logits": logits}, (100, 200), "")
    assert found.class_map is not None
    assert found.class_map.shape == (100, 200)
    assert found.class_map[50, 98] == 0
    assert found.class_map[50, 101] == 1


def test_a_constant_depth_stays_constant() -> None:
    spec = ImageSpec(64, 64, resize="stretch", antialias=False)
    depth = np.full((1, 1, 64, 64), 2.5, np.float32)
    found = make_decoder("depth", {}, ("depth",), spec).decode({"depth": depth}, (30, 50), "")
    assert found.depth_map is not None
    assert found.depth_map.shape == (30, 50)
    assert found.depth_map == pytest.approx(2.5)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ArtifactError, match="layout='anchor'; allowed: anchors"):
        make_decoder("yolo", {"layout": "anchor"}, NAMES, SPEC)


def test_scores_that_differ_in_the_last_bits_do_not_change_what_is_chosen() -> None:
    """Two neighbours with one clipped box and different points, as from a barely trained pose model."""
    points = ([5, 5, 0.5], [37, 5, 0.5])
    arguments = {"kind": "keypoints", "keypoints": [1, 3]}
    found = [
        make_decoder("yolo", arguments, NAMES, SPEC).decode(
            {
                "objects": _anchors(
                    [32, 32, 90, 90, 0.4, 0, *points[0]],
                    [32, 32, 92, 92, 0.4 + nudge, 0, *points[1]],
                )
            },
            (64, 64),
            "",
        )
        for nudge in (-1e-7, 1e-7)
    ]
    assert found[0].keypoints is not None
    assert found[1].keypoints is not None
    assert len(found[0].keypoints) == 1
    assert found[0].keypoints.tolist() == found[1].keypoints.tolist()
    assert np.array_equal(found[0].scores, found[1].scores)
