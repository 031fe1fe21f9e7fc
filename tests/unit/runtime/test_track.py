"""Two objects that cross in a generated video keep their numbers, in the runtime and in the engine of an artefact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2  # noqa: TID253
import numpy as np
import openvino as ov  # noqa: TID253
import pytest

from drivetrain import Artifact, Engine, Predictions, load
from drivetrain.errors import UnsupportedOptionError
from drivetrain.export.export import export_artifact
from drivetrain.export.source import ExportSource
from drivetrain.types import ImageSpec, Task

FRAMES, SIDE = 60, 160


def detector(file: Path) -> None:
    """A graph that finds the red and the green object of an image, each by the extent of its colour."""
    ops = ov.opset13
    image = ops.parameter([1, 3, SIDE, SIDE], np.float32, name="image")
    planes = ops.split(image, ops.constant(1), 3).outputs()
    boxes = []
    for colour, other in ((0, 1), (1, 0)):
        seen = ops.greater(ops.subtract(planes[colour], planes[other]), ops.constant(np.float32(0.4)))
        ends = []
        for axis in (3, 2):
            shape = [1, 1, 1, SIDE] if axis == 3 else [1, 1, SIDE, 1]
            places = ops.constant(np.arange(SIDE, dtype=np.float32).reshape(shape))
            axes = ops.constant(np.array([1, 2, 3]))
            low = ops.reduce_min(ops.select(seen, places, ops.constant(np.float32(SIDE))), axes)
            high = ops.reduce_max(
                ops.select(seen, ops.add(places, ops.constant(np.float32(1))), ops.constant(np.float32(0))), axes
            )
            ends.append((low, high))
        corners = [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]
        boxes.append(
            ops.unsqueeze(ops.concat([ops.reshape(part, [1, 1], False) for part in corners], 1), ops.constant(1))
        )
    scores = ops.constant(np.array([[0.9, 0.8]], np.float32))
    outputs = [ops.concat(boxes, 1), ops.add(scores, ops.constant(np.float32(0)))]
    ov.save_model(ov.Model(outputs, [image]), file, compress_to_fp16=False)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("detector")
    detector(folder / "finder.xml")
    source = ExportSource(
        ir=folder / "finder.xml",
        image_spec=ImageSpec(SIDE, SIDE),
        task=Task.DETECTION,
        label_names=("ball",),
        decoder="boxes",
        decoder_args={"boxes": "boxes", "scores": "scores"},
        output_names=("boxes", "scores"),
    )
    return export_artifact(source, folder / "artifact", reference=None, images=[], engine="", model_name="finder")


def frames() -> Iterator[np.ndarray]:
    """A red ball from left to right and a green one from right to left, in front of it; RGB."""
    for frame in range(FRAMES):
        image = np.full((SIDE, SIDE, 3), 90, np.uint8)
        cv2.circle(image, (20 + 2 * frame, 74), 15, (230, 20, 20), -1)
        cv2.circle(image, (140 - 2 * frame, 86), 15, (20, 230, 20), -1)
        yield image


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "crossing.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (SIDE, SIDE))
    for frame in frames():
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def assert_kept(found: Predictions) -> None:
    """One number is on the ball that goes right in all frames, the other on the one that goes left."""
    assert len(found) == FRAMES
    for frame, item in enumerate(found):
        assert item.boxes is not None
        assert item.track_ids is not None
        assert sorted(item.track_ids.tolist()) == [0, 1], f"frame {frame}"
        middles = {
            number: (box[0] + box[2]) / 2 for number, box in zip(item.track_ids.tolist(), item.boxes, strict=True)
        }
        assert abs(middles[0] - (20 + 2 * frame)) < 14
        assert abs(middles[1] - (140 - 2 * frame)) < 14


def test_crossing_objects_keep_their_numbers(artifact: Artifact, video: Path) -> None:
    predictor = load(artifact.path, precision="f32")
    whole = predictor.predict(str(video), track="bytetrack")
    assert_kept(whole)
    streamed = list(predictor.predict(frames(), track="bytetrack", stream=True))
    assert [item.track_ids.tolist() for item in streamed] == [item.track_ids.tolist() for item in whole]
    assert predictor.predict(str(video))[0].track_ids is None
    with pytest.raises(UnsupportedOptionError, match="Give a video"):
        predictor.predict(next(frames()), track="bytetrack")


def test_the_engine_tracks_too_and_writes_what_it_found(artifact: Artifact, video: Path, tmp_path: Path) -> None:
    engine = Engine(artifact.path, work_dir=tmp_path / "work")
    found = engine.predict(str(video), track="bytetrack")
    assert_kept(found)
    lines = found.save(tmp_path / "tracks.txt", "mot").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 * FRAMES
    frame, number, left, top, width, height, score, label, _ = map(float, lines[0].split(","))
    assert (frame, number, label, score) == (1, 1, 1, pytest.approx(0.9))
    assert found[0].boxes is not None
    np.testing.assert_allclose([left, top, left + width, top + height], found[0].boxes[0], atol=0.01)
    table = found.save(tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert table[0].split(",")[-1] == "track"
    assert [line.rpartition(",")[2] for line in table[1:3]] == ["0", "1"]
    assert found[0].to_dict()["track_ids"] == [0, 1]
    document = json.loads(found.save(tmp_path / "coco.json", "coco").read_text(encoding="utf-8"))
    assert [entry["track_id"] for entry in document["annotations"][:2]] == [0, 1]
    picture, plain = found[5].draw(), engine.predict(str(video))[5].draw()
    assert picture.shape == plain.shape
    assert (picture != plain).any(), "the numbers are drawn"


def test_tracks_that_were_not_asked_for_are_not_written(artifact: Artifact, video: Path, tmp_path: Path) -> None:
    found = load(artifact.path, precision="f32").predict(str(video))
    with pytest.raises(ValueError, match="Predict on a video with track='bytetrack'"):
        found.save(tmp_path / "tracks.txt", "mot")
