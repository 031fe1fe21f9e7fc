"""Masks and keypoints that a model gives for each box."""

from __future__ import annotations

import numpy as np
import pytest

from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.postprocess.regions import masks_of_regions, points_of_heatmaps
from drivetrain.types import ImageSpec


def test_masks_are_those_of_torchvision() -> None:
    pytest.importorskip("torchvision")
    import torch
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    random = np.random.default_rng(0)
    coarse = random.random((20, 7, 7), np.float32)
    values = torch.nn.functional.interpolate(torch.from_numpy(coarse)[:, None], (28, 28), mode="bicubic").numpy()[:, 0]
    corners = random.uniform(-20, 220, (20, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1) + 40], 1).astype(np.float32)
    theirs = paste_masks_in_image(torch.from_numpy(values)[:, None], torch.from_numpy(boxes), (240, 260))[:, 0] > 0.5
    ours = masks_of_regions(values, boxes, (240, 260))
    overlap = (ours & theirs.numpy()).sum((1, 2)) / np.maximum((ours | theirs.numpy()).sum((1, 2)), 1)
    # torchvision rounds the box to whole pixels first, so that rims differ by up to one
    assert np.median(overlap) > 0.95
    assert overlap.min() > 0.85


def test_a_mask_outside_the_image_is_empty() -> None:
    boxes = np.array([[-30, -30, -10, -10], [5, 5, 5, 9]], np.float32)
    assert not masks_of_regions(np.ones((2, 4, 4), np.float32), boxes, (20, 20)).any()


def test_a_full_mask_fills_its_box() -> None:
    masks = masks_of_regions(np.ones((1, 28, 28), np.float32), np.array([[2, 3, 9, 11]], np.float32), (20, 20))
    expected = np.zeros((20, 20), bool)
    expected[3:11, 2:9] = True
    np.testing.assert_array_equal(masks[0], expected)


def test_a_keypoint_is_where_its_heat_map_is_highest() -> None:
    y, x = np.mgrid[:56, :56]
    heat = -((x - 20.3) ** 2 + (y - 40.7) ** 2).astype(np.float32)[None, None]
    points = points_of_heatmaps(heat, np.array([[10, 20, 66, 76]], np.float32))
    np.testing.assert_allclose(points[0, 0, :2], [10 + 20.3 + 0.5, 20 + 40.7 + 0.5], atol=0.01)


def test_no_objects_have_no_keypoints() -> None:
    assert points_of_heatmaps(np.zeros((0, 3, 56, 56), np.float32), np.zeros((0, 4), np.float32)).shape == (0, 3, 3)


def test_masks_follow_the_boxes_that_are_kept() -> None:
    outputs = {
        "boxes": np.array([[0, 0, 8, 8], [8, 8, 16, 16]], np.float32),
        "scores": np.array([0.3, 0.9], np.float32),
        "labels": np.array([1, 2]),
        "masks": np.stack([np.zeros((1, 4, 4)), np.ones((1, 4, 4))]).astype(np.float32),
    }
    arguments = {**{name: name for name in outputs}, "label_offset": 1}
    spec = ImageSpec(height=16, width=16)
    found = make_decoder("boxes", arguments, ("a", "b"), spec).decode(outputs, (32, 32), "x.png")
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0]
    assert found.masks is not None
    assert found.masks[0, 17:31, 17:31].all()
    assert not found.masks[1].any()
