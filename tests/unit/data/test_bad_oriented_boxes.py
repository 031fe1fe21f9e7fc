"""Oriented boxes that cannot be used: each is left out or refused with a text that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task

GOOD = "10 12 30 10 32 30 12 32 ship 0"


def dota(root: Path, *lines: str) -> Path:
    """One picture of 64 pixels with these lines."""
    for name in ("images", "labelTxt"):
        (root / "train" / name).mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(root / "train" / "images" / "a.png")
    (root / "train" / "labelTxt" / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    return root


def yolo(root: Path, *lines: str) -> Path:
    """The same as YOLO with ``task: obb``."""
    for name in ("images", "labels"):
        (root / name / "train").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(root / "images" / "train" / "a.png")
    (root / "labels" / "train" / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    (root / "data.yaml").write_text("task: obb\ntrain: images/train\nval: images/train\nnames: [ship]\n", "utf-8")
    return root


@pytest.mark.parametrize(
    "line", ["10 12 30 10 32 30 12 ship 0", "10 12 30 10 32 30 12 nan ship 0", "10 12 30 10 32 30 12 32"]
)
def test_lines_without_four_corners_and_a_class_are_left_out(line: str, tmp_path: Path) -> None:
    data = load_dataset(dota(tmp_path, GOOD, line))
    assert data.task is Task.ORIENTED_DETECTION
    assert data.object_counts.tolist() == [1]
    assert any("1 annotations are lines without eight finite numbers and a class; they" in n for n in data.notes)
    with pytest.raises(DataFormatError, match=r"without eight finite numbers and a class.*a\.txt:2"):
        load_dataset(tmp_path, strict=True)


@pytest.mark.parametrize("line", ["5 5 5 5 5 5 5 5 ship 0", "90 90 99 90 99 99 90 99 ship 0"])
def test_boxes_without_an_extent_inside_the_image_are_left_out(line: str, tmp_path: Path) -> None:
    data = load_dataset(dota(tmp_path, GOOD, line))
    assert data.object_counts.tolist() == [1]
    assert "1 objects without an extent inside their image were left out." in data.notes


def test_a_box_across_the_edge_keeps_its_corners(tmp_path: Path) -> None:
    """The part outside the image belongs to the object: cutting the corners would turn it."""
    data = load_dataset(dota(tmp_path, "-6 20 20 -6 30 4 4 30 ship 0"))
    sample = data[0]
    assert sample.polygons is not None
    np.testing.assert_allclose(np.ravel(sample.polygons[0]), [-6, 20, 20, -6, 30, 4, 4, 30])


def test_an_image_without_a_line_is_background(tmp_path: Path) -> None:
    folder = dota(tmp_path, GOOD)
    Image.fromarray(np.full((64, 64, 3), 9, np.uint8)).save(folder / "train" / "images" / "b.png")
    (folder / "train" / "labelTxt" / "b.txt").write_text("imagesource:GoogleEarth\ngsd:0.1\n", encoding="utf-8")
    assert load_dataset(folder).object_counts.tolist() == [1, 0]


def test_a_line_of_yolo_without_four_corners_is_named(tmp_path: Path) -> None:
    folder = yolo(tmp_path, "0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4", "0 0.1 0.1 0.4 0.1 0.4 0.4")
    notes = load_dataset(folder).notes
    assert any("a.txt:2 (6 numbers, 8 expected for an oriented box)" in note for note in notes)


def test_boxes_without_corners_are_no_oriented_boxes(tmp_path: Path) -> None:
    folder = yolo(tmp_path, "0 0.5 0.5 0.2 0.2")
    (folder / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [ship]\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"task='oriented_detection': the objects have no four corners"):
        load_dataset(folder, task="oriented_detection")
