"""Weights of classes and of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.balance import class_weights, image_weights
from drivetrain.errors import OptionError
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions


@pytest.fixture
def uneven(tmp_path: Path) -> Dataset:
    """Six images of "common" and two of "rare" to train on."""
    for subset, counts in {"train": (6, 2), "val": (1, 1)}.items():
        for name, count in zip(("common", "rare"), counts, strict=True):
            (tmp_path / subset / name).mkdir(parents=True)
            for number in range(count):
                colour = (number * 9, len(name) * 9, len(subset) * 9)
                Image.new("RGB", (8, 8), colour).save(tmp_path / subset / name / f"{number}.png")
    return load_dataset(tmp_path)


def test_balanced_weights_make_all_classes_count_alike(uneven: Dataset) -> None:
    assert class_weights(uneven, "balanced") == pytest.approx({"common": 8 / 12, "rare": 8 / 4})


def test_several_labels_weigh_their_positives(uneven: Dataset) -> None:
    several = load_dataset(uneven.source, task=Task.MULTILABEL_CLASSIFICATION)
    assert class_weights(several, "balanced") == pytest.approx({"common": 2 / 6, "rare": 6 / 2})


def test_labels_that_are_left_out_weigh_one(uneven: Dataset) -> None:
    assert class_weights(uneven, {"rare": 5}) == {"common": 1.0, "rare": 5.0}


def test_a_label_that_is_not_there_is_refused(uneven: Dataset) -> None:
    with pytest.raises(OptionError, match=r"the data have no label 'rair'. Did you mean 'rare'"):
        class_weights(uneven, {"rair": 5})


def test_images_are_drawn_so_that_classes_are_even(uneven: Dataset) -> None:
    weights, labels = image_weights(uneven), uneven.subset("train").image_labels
    assert weights.sum() == pytest.approx(1)
    assert [weights[labels == number].sum() for number in (0, 1)] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"class_weights": "balance"}, "class_weights='balance' is not allowed. Did you mean 'balanced'"),
        ({"class_weights": {"a": 0}}, "class_weights: a=0 must be a finite number greater than 0"),
        ({"class_weights": {"a": np.inf}}, "class_weights: a=inf must be"),
        ({"sampler": "even"}, "sampler='even' is not allowed.*balanced"),
        ({"class_weights": "balanced", "sampler": "balanced"}, "would count rare classes twice"),
    ],
)
def test_wrong_values_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        TrainOptions(**options)  # type: ignore[arg-type]  # wrong values are the point
