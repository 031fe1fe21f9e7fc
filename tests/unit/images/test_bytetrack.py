"""Tracking, against an assignment and a Kalman filter written otherwise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.images.bytetrack import ByteTracker
from drivetrain.images.matching import best_pairs, overlaps
from drivetrain.images.motion import Motion
from drivetrain.images.tracks import check_track, tracked
from drivetrain.types import Prediction, Task


@pytest.mark.parametrize("seed", range(40))
def test_pairs_gain_as_much_as_scipys(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = random.integers(1, 12, 2)
    gains = random.random((rows, columns)) - random.choice([0.0, 0.4, 0.8])
    chosen = best_pairs(gains)
    assert len(set(chosen[0])) == len(set(chosen[1])) == len(chosen[0])
    assert (gains[chosen] > 0).all()
    expected = np.maximum(gains, 0)
    assert gains[chosen].sum() == pytest.approx(expected[linear_sum_assignment(expected, maximize=True)].sum())


def whole_filter(boxes: np.ndarray) -> np.ndarray:
    """The filter of one box as it is written in the papers, with matrices of eight rows; where it ends, xyxy."""

    def seen(box: np.ndarray) -> np.ndarray:
        width, height = box[2] - box[0], box[3] - box[1]
        return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width / height, height])

    def noise(height: float, position: float, speed: float, aspect: float, aspect_speed: float) -> np.ndarray:
        rows = [position * height, position * height, aspect, position * height]
        rows += [speed * height, speed * height, aspect_speed, speed * height]
        return np.diag(np.square(rows))

    move, look = np.eye(8) + np.eye(8, k=4), np.eye(4, 8)
    mean = np.concatenate([seen(boxes[0]), np.zeros(4)])
    spread = noise(mean[3], 2 / 20, 10 / 40, 1e-2, 1e-5)
    for box in boxes[1:]:
        step = noise(mean[3], 1 / 20, 1 / 40, 1e-2, 1e-5)
        mean, spread = move @ mean, move @ spread @ move.T + step
        error = noise(mean[3], 1 / 30, 0, 1e-1, 0)[:4, :4]
        gain = spread @ look.T @ np.linalg.inv(look @ spread @ look.T + error)
        mean = mean + gain @ (seen(box) - look @ mean)
        spread = spread - gain @ look @ spread
    x, y, aspect, height = mean[:4]
    return np.array([x - aspect * height / 2, y - height / 2, x + aspect * height / 2, y + height / 2])


def test_the_motion_is_that_of_a_whole_kalman_filter() -> None:
    random = np.random.default_rng(0)
    start = random.random((5, 1, 2)) * 100
    path = start + np.arange(12)[None, :, None] * random.random((5, 1, 2)) * 9 + random.random((5, 12, 2))
    boxes = np.concatenate([path, path + random.random((5, 12, 2)) * 4 + 20], axis=2).astype(np.float32)
    motion = Motion.of(boxes[:, 0])
    for frame in range(1, 12):
        motion.predict(np.zeros(5, np.bool_))
        motion.update(np.arange(5), boxes[:, frame])
    np.testing.assert_allclose(motion.boxes, [whole_filter(track) for track in boxes], rtol=1e-6)


def test_an_object_that_is_half_hidden_for_a_while_keeps_its_number() -> None:
    tracker = ByteTracker()
    for frame in range(40):
        box = np.array([[10 + 3 * frame, 20, 40 + 3 * frame, 60]], np.float32)
        score = 0.12 if 15 <= frame < 25 else 0.9
        numbers = tracker.update(box, np.array([score], np.float32))
        assert numbers.tolist() == [0]
    assert tracker.update(box, np.array([0.05], np.float32)).tolist() == [-1], "too unsure to be looked at"


def test_an_object_that_is_gone_for_a_while_gets_its_number_back_and_another_one_later() -> None:
    tracker, box, sure = ByteTracker(), np.array([[10, 20, 40, 60]], np.float32), np.array([0.9], np.float32)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    for _ in range(5):
        assert tracker.update(box, sure).tolist() == [0]
    for _ in range(25):
        tracker.update(*nothing)
    assert tracker.update(box, sure).tolist() == [0]
    for _ in range(32):
        tracker.update(*nothing)
    assert tracker.update(box, sure).tolist() == [-1], "seen once"
    assert tracker.update(box, sure).tolist() == [1]


def test_fifty_objects_keep_their_numbers() -> None:
    random, tracker = np.random.default_rng(0), ByteTracker()
    corners = np.stack(np.meshgrid(np.arange(10), np.arange(5)), axis=-1).reshape(-1, 2) * 60.0
    speeds = random.normal(0, 1.5, corners.shape)
    first = np.full(50, -1)
    for frame in range(30):
        order = random.permutation(50)
        places = corners + speeds * frame + random.normal(0, 0.5, corners.shape)
        boxes = np.concatenate([places, places + 40], axis=1).astype(np.float32)
        numbers = tracker.update(boxes[order], np.full(50, 0.8, np.float32))
        first = numbers[np.argsort(order)] if frame == 0 else first
        assert (numbers[np.argsort(order)] == first).all()
    assert set(first.tolist()) == set(range(50))


@pytest.fixture(scope="module")
def tracking() -> ModuleType:
    """The script that makes scenes and counts switches."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "tracking.py"
    spec = importlib.util.spec_from_file_location("tracking_of_benchmarks", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_objects_that_turn_and_hide_each_other_rarely_change_their_numbers(tracking: ModuleType) -> None:
    """With the constants of the paper there are 15 switches in these scenes."""
    scenes = [list(tracking.scene(seed, 150)) for seed in (0, 2, 3, 9)]
    counts = np.array([tracking.switches(tracking.ours(), frames) for frames in scenes]).sum(axis=0)
    assert counts[0] <= 5
    assert counts[1] <= 0.005 * counts[2], "objects without a track"


@pytest.mark.slow
def test_no_more_switches_than_ultralytics(tracking: ModuleType) -> None:
    pytest.importorskip("ultralytics")
    scenes = [list(tracking.scene(seed, 150)) for seed in range(12)]
    ours, theirs = (
        np.array([tracking.switches(make(), frames) for frames in scenes]).sum(axis=0)
        for make in (tracking.ours, tracking.of_ultralytics)
    )
    assert ours[0] <= theirs[0]
    assert ours[1] <= theirs[1]


def test_videos_are_tracked_one_by_one_and_share_no_number() -> None:
    box, score = np.array([[0, 0, 9, 9]], np.float32), np.array([0.9], np.float32)
    answers = [
        Prediction(path, (20, 20), np.zeros(1, np.int64), score, box)
        for path in ("a.mp4#0", "a.mp4#1", "b.mp4#0", "b.mp4#1")
    ]
    items = list(tracked([*answers[:2], ("c.mp4", "cannot be read"), *answers[2:]], 0.25))
    assert items[2] == ("c.mp4", "cannot be read")
    assert [item.track_ids.tolist() for item in items if isinstance(item, Prediction)] == [[0], [0], [1], [1]]


def test_unsure_objects_stay_where_a_track_has_them_only() -> None:
    boxes = np.array([[0, 0, 30, 30], [60, 60, 90, 90]], np.float32)
    answers = [
        Prediction("", (99, 99), np.zeros(2, np.int64), np.array(scores, np.float32), boxes)
        for scores in ([0.9, 0.15], [0.15, 0.15])
    ]
    found = list(tracked(answers, 0.25))
    assert [item.boxes.tolist() for item in found] == [[[0, 0, 30, 30]]] * 2
    assert [item.track_ids.tolist() for item in found] == [[0], [0]]


def test_overlaps_of_boxes() -> None:
    first = np.array([[0, 0, 10, 10], [0, 0, 4, 4]], np.float64)
    second = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], np.float64)
    np.testing.assert_allclose(overlaps(first, second), [[50 / 150, 0], [0, 0]])


@pytest.mark.parametrize(
    "source", ["folder", "image.png", ["a.png", "b.png"], np.zeros((8, 8, 3), np.uint8), None, ["a.mp4", "b.png"]]
)
def test_what_is_no_series_of_frames_is_refused(source: object) -> None:
    with pytest.raises(UnsupportedOptionError, match=r"track='bytetrack' cannot be honoured: source is .*Give a video"):
        check_track("bytetrack", source)
    check_track(None, source)


@pytest.mark.parametrize(
    "source",
    ["a.mp4", ["a.mp4", "b.avi"], [np.zeros((8, 8, 3), np.uint8)] * 2, np.zeros((4, 8, 8, 3), np.uint8), iter(())],
)
def test_what_is_a_series_of_frames_is_tracked(source: object) -> None:
    check_track("bytetrack", source, Task.DETECTION)


def test_tasks_without_objects_and_other_trackers_are_refused() -> None:
    with pytest.raises(UnsupportedOptionError, match="'classification' has no objects to follow"):
        check_track("bytetrack", "a.mp4", Task.CLASSIFICATION)
    with pytest.raises(OptionError, match="Allowed: bytetrack"):
        check_track("sort", "a.mp4")
