"""Annotations that a detector cannot learn from, and data that do not fit a model: each says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine, load_dataset
from drivetrain.engines.lightning.vision.scenes import scene_loaders
from drivetrain.errors import DataError, DataFormatError, OptionError
from drivetrain.images.tiling import Tiling
from drivetrain.testing.data import KEYPOINTS, class_maps, coco
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import TrainOptions

SSD = "torchvision:ssdlite320_mobilenet_v3_large"
Document = dict[str, Any]


class _Run:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _changed(root: Path, change: Callable[[Document], Any], **more: Any) -> Path:
    folder = coco(root, subsets={"train": 4, "val": 2}, **more)
    file = folder / "annotations" / "instances_train.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    return folder


def _notes(folder: Path, task: str = "detection", **options: Any) -> tuple[list[str], list[str]]:
    """What reading and what training on the data would say."""
    data, run = load_dataset(folder, task=task), _Run()
    loaders = scene_loaders(data, ImageSpec(64, 64), Task.parse(task), TrainOptions(num_workers=0, **options), run)  # type: ignore[arg-type]
    loader = loaders["train_dataloaders"]
    assert loader is not None
    for _, targets in loader:
        assert targets
    return list(data.notes), run.notes


def test_degenerate_boxes_are_left_out(tmp_path: Path) -> None:
    folder = _changed(tmp_path, lambda d: d["annotations"][0].update(bbox=[10, 10, 0, 5]))
    assert "1 objects without an extent inside their image were left out." in _notes(folder)[0]


def test_boxes_outside_the_image_are_left_out(tmp_path: Path) -> None:
    folder = _changed(tmp_path, lambda d: d["annotations"][0].update(bbox=[200, 200, 9, 9]))
    assert "1 objects without an extent inside their image were left out." in _notes(folder)[0]


def test_images_without_objects_are_background(tmp_path: Path) -> None:
    folder = _changed(
        tmp_path, lambda d: d.update(annotations=[row for row in d["annotations"] if row["image_id"] != 1])
    )
    assert "1 of 4 training images have no object and serve as background." in _notes(folder)[1]


def test_data_without_any_object_are_refused(tmp_path: Path) -> None:
    folder = _changed(tmp_path, lambda d: [row.update(bbox=[0, 0, 0, 0]) for row in d["annotations"]])
    with pytest.raises(DataError, match=r"None of the 4 training images has an object to learn from"):
        _notes(folder)


def test_fewer_than_three_points_are_no_polygon(tmp_path: Path) -> None:
    folder = _changed(tmp_path, lambda d: d["annotations"][0].update(segmentation=[[1, 1, 9, 9]]))
    read, _ = _notes(folder, "instance_segmentation")
    assert any("of fewer than three points" in note for note in read)


def test_masks_of_another_size_are_left_out(tmp_path: Path) -> None:
    folder = _changed(tmp_path, lambda d: d["annotations"][0].update(segmentation={"size": [2, 2], "counts": [1, 3]}))
    read, _ = _notes(folder, "instance_segmentation")
    assert any("have a mask that differs from their image in size" in note for note in read)


def test_two_skeletons_with_other_names_are_said(tmp_path: Path) -> None:
    def rename(document: Document) -> None:
        document["categories"][1]["keypoints"] = ["a", "b", "c", "d"]

    folder = _changed(tmp_path, rename, keypoints=tuple(KEYPOINTS))
    notes = load_dataset(folder, task="keypoint_detection").notes
    assert any("The category 'square' names other keypoints (a, b, c, d, ...) than those before it" in n for n in notes)


def test_two_skeletons_of_two_lengths_are_refused(tmp_path: Path) -> None:
    def shorten(document: Document) -> None:
        document["categories"][1]["keypoints"] = ["a"]
        document["annotations"][0].update(keypoints=[1, 1, 2], num_keypoints=1)

    folder = _changed(tmp_path, shorten, keypoints=tuple(KEYPOINTS))
    with pytest.raises(
        DataFormatError, match=r"3 keypoint values; 12 are expected. All objects of a data set have the"
    ):
        load_dataset(folder, task="keypoint_detection")


def test_labels_that_a_model_does_not_have_are_named(tmp_path: Path) -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    data = coco(tmp_path / "data", subsets={"train": 4, "val": 2, "test": 2})
    net = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    engine = Engine(net, data, work_dir=tmp_path / "run")
    engine.train(max_epochs=1, image_size=64, batch_size=2, num_workers=0)
    other = _changed(tmp_path / "other", lambda d: d["categories"][0].update(name="disc"))
    with pytest.raises(DataError, match=r"The label 'disc' of the data is not among those of the model"):
        engine.test(other, subset="train")


def test_an_image_smaller_than_a_tile_is_looked_at_as_it_is(tmp_path: Path) -> None:
    assert len(Tiling(640).views((64, 64), whole=True)) == 1
    folder = _changed(tmp_path, lambda d: None)
    told = "4 tiles of 640 px of 4 images are used for training: 4 with objects, 0 of 0 without."
    assert told in _notes(folder, tile=640)[1]


def test_a_model_of_another_task_than_the_annotations_is_refused(tmp_path: Path) -> None:
    maps = class_maps(tmp_path / "maps")
    with pytest.raises((DataError, OptionError), match=r"task='detection'"):
        Engine(SSD, maps, work_dir=tmp_path / "run").train(max_epochs=1)
