"""The decoder of anomaly models."""

from __future__ import annotations

import numpy as np
import pytest

from drivetrain.errors import ArtifactError
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.types import ImageSpec

SPEC = ImageSpec(8, 8)


def test_map_and_mask_are_in_the_original_size() -> None:
    scores = np.zeros((1, 1, 8, 8), np.float32)
    scores[..., 4:, :] = 1.0
    answer = make_decoder("anomaly", {}, ("good",), SPEC).decode(
        {"pred_score": np.array([0.7], np.float32), "anomaly_map": scores}, (30, 50), "a.png"
    )
    assert answer.anomaly_score == pytest.approx(0.7)
    assert answer.anomaly_map is not None
    assert answer.anomaly_mask is not None
    assert answer.anomaly_map.shape == (30, 50)
    assert answer.anomaly_mask[:13].sum() == 0
    assert answer.anomaly_mask[17:].all()


def test_model_without_a_map() -> None:
    answer = make_decoder("anomaly", {}, (), SPEC).decode({"pred_score": np.array([[0.2]], np.float32)}, (3, 4), "")
    assert answer.anomaly_score == pytest.approx(0.2)
    assert answer.anomaly_map is None
    assert answer.anomaly_mask is None


def test_map_of_the_middle_leaves_the_rest_normal() -> None:
    outputs = {"pred_score": np.ones(1, np.float32), "anomaly_map": np.ones((1, 4, 4), np.float32)}
    answer = make_decoder("anomaly", {"crop": [0.5, 0.5]}, (), SPEC).decode(outputs, (20, 40), "")
    assert answer.anomaly_mask is not None
    assert answer.anomaly_mask.sum() == 10 * 20
    assert answer.anomaly_mask[5:15, 10:30].all()


def test_crop_outside_of_the_image_is_refused() -> None:
    with pytest.raises(ArtifactError, match="crop"):
        make_decoder("anomaly", {"crop": [0.5, 1.5]}, (), SPEC)
