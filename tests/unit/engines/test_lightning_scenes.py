"""Images with objects or class maps are brought to the model input, and changed, together with their annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivetrain.data import load_dataset
from drivetrain.engines.lightning.vision.placed import Placed, SceneAugmentation, place, usable_objects
from drivetrain.engines.lightning.vision.scenes import SceneLoader, scene_loaders
from drivetrain.errors import DataError
from drivetrain.images.masks import IGNORED
from drivetrain.runs.run import Run
from drivetrain.runtime.postprocess.base import boxes_to_original
from drivetrain.testing.data import coco, scene
from drivetrain.types import ImageSpec, Sample, Task
from drivetrain.types.options import TrainOptions


def _box_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _sample(boxes: list[list[float]], size: tuple[int, int] = (40, 60)) -> Sample:
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample("x.png", size, boxes=found, box_labels=np.arange(len(found)))


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_boxes_come_back_from_the_model_input(resize: str) -> None:
    sample = _sample([[3, 5, 20, 30], [0, 0, 60, 40]])
    spec = ImageSpec(height=64, width=48, resize=resize)  # type: ignore[arg-type]
    placed = place(np.zeros((40, 60, 3), np.uint8), sample, spec, Task.DETECTION, IGNORED)
    assert placed.image.shape == (64, 48, 3)
    np.testing.assert_allclose(boxes_to_original(placed.boxes, spec, (40, 60)), sample.boxes, atol=1e-4)


def test_boxes_without_area_inside_the_image_are_not_learned_from() -> None:
    sample = _sample([[3, 5, 3, 30], [10, 5, 4, 30], [70, 5, 80, 20], [-5, -5, 10, 10]])
    assert usable_objects(sample) == [3]
    placed = place(np.zeros((40, 60, 3), np.uint8), sample, ImageSpec(height=40, width=60), Task.DETECTION, IGNORED)
    np.testing.assert_allclose(placed.boxes, [[0, 0, 10, 10]])
    assert placed.labels.tolist() == [3]


def test_an_image_without_objects_is_placed_as_background() -> None:
    for task in (Task.DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION):
        placed = place(np.zeros((40, 60, 3), np.uint8), _sample([]), ImageSpec(height=8, width=8), task, IGNORED)
        assert placed.boxes.shape == (0, 4)
        assert placed.masks is None or placed.masks.shape == (0, 8, 8)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_and_masks_move_with_the_image(seed: int) -> None:
    drawn = scene(np.random.default_rng(seed))
    points = np.concatenate([drawn.boxes.reshape(-1, 2, 2), np.full((len(drawn.boxes), 2, 1), 2)], 2).astype(np.float32)
    placed = Placed(drawn.image, drawn.boxes, drawn.labels, drawn.masks.astype(np.uint8), points)
    moved = SceneAugmentation(light=0, saturation=0).apply(placed, (seed, 1, 2), 0)
    assert len(moved.boxes) == len(moved.labels) == len(moved.masks) == len(moved.keypoints)  # type: ignore[arg-type]
    for box, mask, label in zip(moved.boxes, moved.masks, moved.labels, strict=True):  # type: ignore[arg-type]
        np.testing.assert_allclose(_box_of(mask), box, atol=1.01)
        inside = moved.image[mask.astype(bool)].mean(axis=0)
        assert (inside[0] > inside[2]) == (label == 0), "yellow circles, blue squares"


def test_the_same_seed_changes_an_image_in_the_same_way() -> None:
    drawn = scene(np.random.default_rng(0))
    placed = Placed(drawn.image, drawn.boxes, drawn.labels)
    first, again, other = (SceneAugmentation().apply(placed, (3, 4, number), 0) for number in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.image, other.image)


def test_pixels_from_outside_the_image_count_for_nothing() -> None:
    classes = np.ones((32, 32), np.int64)
    placed = Placed(np.zeros((32, 32, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None, None)
    placed = Placed(placed.image, placed.boxes, placed.labels, class_map=classes)
    seen = [SceneAugmentation().apply(placed, (0, 0, number), 0).class_map for number in range(8)]
    assert {int(value) for found in seen for value in np.unique(found)} == {1, IGNORED}  # type: ignore[arg-type]


def test_a_loader_gives_each_image_its_target(tmp_path: Path) -> None:
    dataset = load_dataset(coco(tmp_path / "data")).with_task(Task.DETECTION).subset("train")
    loader = SceneLoader(dataset, ImageSpec(height=64, width=64), Task.DETECTION, batch_size=5, num_workers=2)
    seen = [(images, targets) for images, targets in loader]
    assert [len(targets) for _, targets in seen] == [5, 5, 2]
    for images, targets in seen:
        assert images.shape[1:] == (3, 64, 64)
        for target in targets:
            np.testing.assert_allclose(target["boxes"], dataset[int(target["number"])].boxes, atol=1e-4)


def test_data_without_an_object_to_learn_from_are_refused(tmp_path: Path) -> None:
    import json

    folder = coco(tmp_path / "data")
    file = folder / "annotations" / "instances_train.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "annotations": []}), encoding="utf-8")
    dataset = load_dataset(folder).with_task(Task.DETECTION)
    run = Run.__new__(Run)
    with pytest.raises(DataError, match="None of the 12 training images has an object to learn from"):
        scene_loaders(dataset, ImageSpec(height=64, width=64), Task.DETECTION, TrainOptions(), run)
