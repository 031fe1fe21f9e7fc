"""drivetrain reads the toy data exactly as they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain.data import load_dataset
from drivetrain.images.read import read_image
from drivetrain.testing import data
from drivetrain.types.task import Task


@pytest.fixture(autouse=True)
def _cache(own_cache: Path) -> None:
    """A separate cache for each test."""


def scenes(subset: str, size: int = 64) -> list[data.Scene]:
    return data._scenes(data.SUBSETS, size, 0)[subset]


def test_class_folders(tmp_path: Path) -> None:
    dataset = load_dataset(data.class_folders(tmp_path / "d", subsets={"train": 4, "val": 2, "test": 3}))
    assert dataset.task is Task.CLASSIFICATION
    assert dataset.label_names == ("blue", "green", "red")
    assert dict(dataset.subsets) == {"train": 12, "val": 6, "test": 9}
    assert len({tuple(size) for size in dataset.sizes.tolist()}) > 3
    for sample in dataset:
        mean = read_image(sample.path).mean((0, 1))
        colour = np.array(data.COLOURS[dataset.label_names[sample.labels[0]]])
        assert abs(mean - colour).max() < 15


@pytest.mark.parametrize("task", ["detection", "instance_segmentation"])
def test_coco(tmp_path: Path, task: str) -> None:
    dataset = load_dataset(data.coco(tmp_path / "d"), task=task)
    assert dataset.label_names == ("circle", "square")
    assert dict(dataset.subsets) == dict(data.SUBSETS)
    truth = scenes("val")
    for sample, drawn in zip(dataset.subset("val"), truth, strict=True):
        np.testing.assert_array_equal(sample.boxes, drawn.boxes)
        np.testing.assert_array_equal(sample.box_labels, drawn.labels)
        np.testing.assert_array_equal(read_image(sample.path), drawn.image)
        np.testing.assert_array_equal(sample.area, drawn.masks.sum((1, 2)))


def test_coco_run_lengths_are_those_of_pycocotools() -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    for drawn in scenes("train"):
        for mask in drawn.masks:
            lengths = data._run_lengths(mask)
            np.testing.assert_array_equal(coco_mask.decode(coco_mask.frPyObjects(lengths, *lengths["size"])), mask)
            corner = np.ones_like(mask)
            assert data._run_lengths(corner)["counts"] == [0, corner.size]


def test_yolo(tmp_path: Path) -> None:
    dataset = load_dataset(data.yolo(tmp_path / "d"))
    assert dataset.task is Task.DETECTION
    assert dataset.label_names == ("circle", "square")
    for sample, drawn in zip(dataset.subset("test"), scenes("test"), strict=True):
        np.testing.assert_allclose(sample.boxes, drawn.boxes, atol=1e-4)


def test_class_maps(tmp_path: Path) -> None:
    dataset = load_dataset(data.class_maps(tmp_path / "d"))
    assert dataset.task is Task.SEMANTIC_SEGMENTATION
    assert dataset.label_names == ("background", "circle", "square")
    for sample, drawn in zip(dataset.subset("val"), scenes("val"), strict=True):
        numbers = np.array(Image.open(sample.mask_path))
        for label, mask in zip(drawn.labels, drawn.masks, strict=True):
            assert (numbers[mask] == label + 1).all()
        assert (numbers == 0).sum() == (~drawn.masks.any(0)).sum()


def test_mvtec(tmp_path: Path) -> None:
    dataset = load_dataset(data.mvtec(tmp_path / "d"))
    assert dataset.task is Task.ANOMALY
    assert dataset.label_names == ("good", "spot")
    assert dict(dataset.subsets) == {"train": 8, "test": 8}
    for sample in dataset.subset("test"):
        bright = (read_image(sample.path) == 250).all(-1)
        assert sample.anomalous == bool(bright.any())
        if sample.anomalous:
            np.testing.assert_array_equal(np.array(Image.open(sample.mask_path)) > 0, bright)


def test_awkward_images_can_be_read(tmp_path: Path) -> None:
    shapes = {name: read_image(path).shape for name, path in data.awkward_images(tmp_path).items()}
    assert shapes["odd"] == (31, 47, 3)
    assert shapes["tiny"] == (1, 1, 3)
    assert shapes["flat"] == (3, 90, 3)
    assert shapes["exif"] == (40, 24, 3)
    assert {shapes[name] for name in ("grey", "palette", "alpha", "deep")} == {(32, 32, 3)}
