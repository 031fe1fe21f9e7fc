"""Tracking: switched identities on generated scenes and milliseconds a frame, ours and other installed trackers.

Run: ``python benchmarks/tracking.py [--scenes 12] [--frames 150] [--objects 50]``.

A scene has boxes of different sizes that move, turn and pass behind one another; what is half hidden has a low score or
is missed, boxes are inexact, and some are found where nothing is. A switch is counted where the track of an object is
another than the last one it had (as in CLEAR MOT). The other trackers are ByteTrack of Ultralytics and of the package
trackers. Prints one line for each.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from drivetrain.images.bytetrack import ByteTracker
from drivetrain.images.matching import overlaps

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--scenes", "1", "--frames", "12", "--objects", "8"]]
WIDTH, HEIGHT = 1280, 720
Update = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Frame:
    """What a detector finds: boxes ``(N, 4)``, scores ``(N,)``, and the number of the object each is, -1 for none."""

    boxes: np.ndarray
    scores: np.ndarray
    objects: np.ndarray


def scene(seed: int, frames: int, objects: int = 15) -> Iterator[Frame]:
    """The frames of a generated scene."""
    random = np.random.default_rng(seed)
    sides = random.uniform(40, 130, (objects, 1)) * np.array([[0.6, 1.0]])
    places = random.random((objects, 2)) * [WIDTH, HEIGHT]
    speeds = random.normal(0, 4, (objects, 2))
    for _ in range(frames):
        speeds += random.normal(0, 0.4, speeds.shape)
        outside = (places < 0) | (places > [WIDTH, HEIGHT])
        speeds = np.where(outside, np.abs(speeds) * np.where(places < 0, 1, -1), speeds)
        places = places + speeds
        boxes = np.concatenate([places - sides / 2, places + sides / 2], axis=1)
        order = boxes[:, 3]  # what stands lower is in front
        in_front = order[None, :] > order[:, None]
        hidden = (overlaps(boxes, boxes) * in_front).max(axis=1)
        scores = np.clip(random.normal(0.8, 0.08, objects) - 0.9 * hidden, 0.02, 1)
        seen = (random.random(objects) > 0.04) & (hidden < 0.75)
        noisy = boxes + random.normal(0, 0.03, boxes.shape) * np.tile(sides, 2)
        wrong = random.random((random.poisson(0.3), 2)) * [WIDTH, HEIGHT]
        yield Frame(
            np.concatenate([noisy[seen], np.concatenate([wrong, wrong + 60], axis=1)]).astype(np.float32),
            np.concatenate([scores[seen], random.uniform(0.1, 0.5, len(wrong))]).astype(np.float32),
            np.concatenate([np.flatnonzero(seen), np.full(len(wrong), -1)]),
        )


def switches(update: Update, frames: list[Frame]) -> tuple[int, int, int]:
    """Switched identities, objects that were seen without a track, and how many objects were seen."""
    last: dict[int, int] = {}
    switched = missed = seen = 0
    for frame in frames:
        numbers = update(frame.boxes, frame.scores)
        for identity, number in zip(frame.objects.tolist(), numbers.tolist(), strict=True):
            if identity < 0:
                continue
            seen += 1
            if number < 0:
                missed += 1
                continue
            switched += last.get(identity, number) != number
            last[identity] = number
    return switched, missed, seen


def ours() -> Update:
    """The tracker of drivetrain."""
    return ByteTracker().update


def of_ultralytics() -> Update:
    """ByteTrack of Ultralytics, with its own settings."""
    module = importlib.import_module("ultralytics.trackers.byte_tracker")
    results = importlib.import_module("ultralytics.engine.results")
    options = {"track_high_thresh": 0.25, "track_low_thresh": 0.1, "new_track_thresh": 0.25}
    options |= {"track_buffer": 30, "match_thresh": 0.8, "fuse_score": True}
    tracker = module.BYTETracker(SimpleNamespace(**options))

    def update(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        rows = np.concatenate([boxes, scores[:, None], np.zeros((len(boxes), 1))], axis=1).astype(np.float32)
        numbers = np.full(len(boxes), -1)
        for row in tracker.update(results.Boxes(rows, (HEIGHT, WIDTH))):
            numbers[int(row[-1])] = int(row[4])
        return numbers

    return update


def of_trackers() -> Update:
    """ByteTrack of the package trackers, with the same scores as ours."""
    detections: Any = importlib.import_module("supervision").Detections
    tracker = importlib.import_module("trackers").ByteTrackTracker(
        track_activation_threshold=0.25, high_conf_det_threshold=0.25
    )

    def update(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        kept = scores >= 0.1
        found = detections(
            xyxy=boxes[kept],
            confidence=scores[kept],
            class_id=np.zeros(int(kept.sum()), int),
            data={"place": np.flatnonzero(kept)},
        )
        numbers = np.full(len(boxes), -1)
        answer = tracker.update(found)
        if answer.tracker_id is not None and len(answer):
            numbers[np.asarray(answer.data["place"], int)] = answer.tracker_id
        return numbers

    return update


def installed() -> dict[str, Callable[[], Update]]:
    """The trackers that can be made here."""
    known = {"ours": ours, "ultralytics": of_ultralytics, "trackers": of_trackers}
    return {name: make for name, make in known.items() if name == "ours" or importlib.util.find_spec(name)}


def main() -> None:
    """Run all trackers on the same scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--objects", type=int, default=50, help="of the scene that is timed")
    options = parser.parse_args()
    scenes = [list(scene(seed, options.frames)) for seed in range(options.scenes)]
    crowd = list(scene(99, options.frames, options.objects))
    for name, make in installed().items():
        counts = np.array([switches(make(), frames) for frames in scenes]).sum(axis=0)
        update, begun = make(), time.perf_counter()
        for frame in crowd:
            update(frame.boxes, frame.scores)
        each = 1e3 * (time.perf_counter() - begun) / len(crowd)
        print(
            f"{name}: {counts[0]} identity switches and {counts[1]} of {counts[2]} objects without a track in "
            f"{len(scenes)} scenes; {each:.2f} ms a frame with {options.objects} objects"
        )


if __name__ == "__main__":
    main()
