"""Tiling images, and joining the answers about the tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.images.tiling import Cutter, Tiling, check_tile
from drivetrain.types import Prediction, Task

SQUARES = ((30, 40), (95, 90), (210, 12), (150, 170))  # left, top; each 10 pixels wide; the second is on a tile border


def picture(size: tuple[int, int] = (200, 240)) -> Any:
    image = np.zeros((*size, 3), np.uint8)
    for left, top in SQUARES:
        image[top : top + 10, left : left + 10] = 255
    return image


def boxes_of(image: Any) -> Any:
    """A model that finds white squares, each connected region separately, in images of at most 120 pixels."""
    import cv2

    if max(image.shape) > 120:
        return np.zeros((0, 4), np.float32)
    _, _, stats, _ = cv2.connectedComponentsWithStats(image[..., 0])
    return np.array([[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)


def objects(crops: Iterator[tuple[str, Any]], *, masks: bool = False) -> Iterator[Prediction]:
    for path, image in crops:
        boxes = boxes_of(image)
        scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
        values: dict[str, Any] = {"boxes": boxes, "labels": np.zeros(len(boxes), np.int64), "scores": scores}
        if masks:
            found = np.zeros((len(boxes), *image.shape[:2]), np.bool_)
            for mask, (left, top, right, bottom) in zip(found, boxes.astype(int), strict=True):
                mask[top:bottom, left:right] = True
            values["masks"] = found
        yield Prediction(path, image.shape[:2], **values)


def look(tile: Any, task: Task = Task.DETECTION, **more: Any) -> Prediction:
    tiling = Tiling.of(tile)
    assert tiling is not None
    cutter = Cutter(tiling, task)
    (answer,) = cutter.join(objects(cutter.crops([("a.png", picture())]), **more))
    return answer


@pytest.mark.parametrize("tile", [100, (100, 0.0), (120, 0.5)])
def test_each_object_is_found_once_and_whole(tile: Any) -> None:
    answer = look(tile)
    assert answer.size == (200, 240)
    assert answer.boxes is not None
    expected = sorted([left, top, left + 10, top + 10] for left, top in SQUARES)
    assert sorted(answer.boxes.tolist()) == expected
    assert answer.scores is not None
    assert (np.diff(answer.scores) <= 0).all()


def test_masks_are_those_of_the_image() -> None:
    answer = look(100, Task.INSTANCE_SEGMENTATION, masks=True)
    assert answer.masks is not None
    assert answer.masks.shape == (4, 200, 240)
    assert (answer.masks.any(axis=0) == (picture()[..., 0] > 0)).all()


def test_an_image_no_larger_than_a_tile_is_looked_at_as_it_is() -> None:
    tiling = Tiling.of(500)
    assert tiling is not None
    assert len(tiling.views((200, 240), whole=True)) == 1


@pytest.mark.parametrize("size", [(200, 240), (101, 1000), (99, 350)])
def test_tiles_cover_the_image_and_are_equally_large(size: tuple[int, int]) -> None:
    tiling = Tiling.of((100, 0.2))
    assert tiling is not None
    seen = np.zeros(size, np.bool_)
    for view in tiling.views(size, whole=False):
        assert (view.right - view.left, view.bottom - view.top) == (min(100, size[1]), min(100, size[0]))
        seen[view.top : view.bottom, view.left : view.right] = True
    assert seen.all()


def test_class_maps_and_anomaly_maps_are_put_together() -> None:
    image = picture()
    for task in (Task.SEMANTIC_SEGMENTATION, Task.ANOMALY):
        tiling = Tiling.of(100)
        assert tiling is not None
        cutter = Cutter(tiling, task)

        def answers(crops: Iterator[tuple[str, Any]]) -> Iterator[Prediction]:
            for path, crop in crops:
                white = crop[..., 0] > 0
                yield Prediction(
                    path,
                    crop.shape[:2],
                    class_map=white.astype(np.int64),
                    anomaly_map=white.astype(np.float32),
                    anomaly_mask=white,
                    anomaly_score=float(white.mean()),
                )

        (answer,) = cutter.join(answers(cutter.crops([("a.png", image)])))
        found = answer.class_map if task is Task.SEMANTIC_SEGMENTATION else answer.anomaly_map
        assert found is not None
        assert (found == (image[..., 0] > 0)).all()


def test_suppression_is_that_of_supervision() -> None:
    """Another library's slicer finds the same objects."""
    sv = pytest.importorskip("supervision", reason="needs supervision, which RF-DETR brings")

    def callback(crop: Any) -> Any:
        boxes = boxes_of(crop)
        return sv.Detections(xyxy=boxes, confidence=np.full(len(boxes), 0.9), class_id=np.zeros(len(boxes), int))

    slicer = sv.InferenceSlicer(callback, slice_wh=100, overlap_wh=20, iou_threshold=0.5)
    theirs = sorted(box for box in slicer(picture()).xyxy.tolist() if box[2] - box[0] == box[3] - box[1] == 10)
    answer = look((100, 0.2))
    assert answer.boxes is not None
    assert sorted(answer.boxes.tolist()) == theirs


@pytest.mark.parametrize("value", [0, -3, True, "large", (100, 1.0), (100, 0.2, 3), 1.5])
def test_wrong_values_are_refused(value: Any) -> None:
    with pytest.raises(OptionError, match=r"tile=.*Give the side of a tile in pixels"):
        check_tile(value)


def test_tasks_whose_answers_cannot_be_joined_are_refused() -> None:
    with pytest.raises(UnsupportedOptionError, match=r"tile=100 cannot be honoured.*this model is for classification"):
        check_tile(100, Task.CLASSIFICATION)
