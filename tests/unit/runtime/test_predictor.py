# ruff: noqa: TID253 - tests use the frameworks outright
"""The Predictor: every kind of source, order, skipping, streaming, and life without torch."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from PIL import Image

from drivetrain.data import load_dataset
from drivetrain.engine import Engine
from drivetrain.errors import (
    ArtifactError,
    DataError,
    DataNotFoundError,
    ImageError,
    OptionError,
    UnsupportedOptionError,
)
from drivetrain.images.sources import decode
from drivetrain.runtime import Predictor, load
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess_graph import embed_preprocessing
from drivetrain.types import ImageSpec, Prediction, Sample, Task

LABELS = ("red", "green", "blue")


def _write_artifact(folder: Path, **changes: Any) -> Artifact:
    """A "model" that answers which colour an image has most of."""
    spec = ImageSpec(16, 16)
    opset = ov.opset13
    parameter = opset.parameter([1, 3, 16, 16], ov.Type.f32)
    mean = opset.reduce_mean(parameter, np.array([2, 3]), keep_dims=False)
    logits = opset.multiply(mean, np.float32(9))
    logits.output(0).set_names({"logits"})
    folder.mkdir()
    ov.save_model(
        embed_preprocessing(ov.Model([logits], [parameter]), spec, dynamic_batch=False), folder / "model.xml", False
    )
    values: dict[str, Any] = {
        "path": folder,
        "format": "openvino",
        "precision": "fp32",
        "task": Task.CLASSIFICATION,
        "label_names": LABELS,
        "image_spec": spec,
        "decoder": "classification",
        "model_file": "model.xml",
        "output_names": ("logits",),
    }
    return Artifact(**{**values, **changes}).write_manifest()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return _write_artifact(tmp_path_factory.mktemp("predictor") / "colours")


@pytest.fixture(scope="module")
def predictor(artifact: Artifact) -> Predictor:
    return load(artifact.path, precision="f32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images red, green, blue, red, ... of different sizes, some in a subfolder."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for index in range(12):
        pixels = np.zeros((10 + 7 * index, 40 - 3 * index, 3), np.uint8)
        pixels[:, :, index % 3] = 200
        name = f"sub/{index:02d}.png" if index >= 9 else f"{index:02d}.jpg"
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


def _labels(predictions: Any) -> list[int]:
    return [int(prediction.labels[0]) for prediction in predictions]


def test_every_kind_of_source(predictor: Predictor, folder: Path) -> None:
    files = sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png"))
    every = [index % 3 for index in range(12)]
    assert _labels(predictor.predict(folder)) == every
    assert _labels(predictor.predict(str(folder / "*.jpg"))) == every[:9]
    assert _labels(predictor.predict(str(folder / "**" / "*.png"))) == every[9:]
    assert _labels(predictor.predict(files)) == every
    assert _labels(predictor.predict(iter(files))) == every
    assert _labels(predictor.predict(files[4])) == [1]
    arrays = [cv2.imread(str(file))[:, :, ::-1] for file in files]
    assert _labels(predictor.predict(arrays)) == every
    assert _labels(predictor.predict(arrays[2])) == [2]
    assert _labels(predictor.predict(np.stack([arrays[1], arrays[1] * 0 + np.uint8([0, 0, 9])]))) == [1, 2]
    with Image.open(files[5]) as image:
        assert _labels(predictor.predict(image)) == [2]
    assert _labels(predictor.predict(files[7].read_bytes())) == [1]
    samples = [Sample(path=str(file), size=(1, 1)) for file in files]
    assert _labels(predictor.predict(samples)) == every
    assert _labels(predictor.predict(samples[3])) == [0]
    assert _labels(predictor.predict(SimpleNamespace(path=files[2]))) == [2]
    predictions = predictor.predict(folder)
    assert [prediction.path for prediction in predictions] == [str(file) for file in files]
    assert predictions[0].size == (10, 40)
    assert predictions.label_names == LABELS


def test_video_frames_have_their_number(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for index in range(7):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:, :, 2 - index % 3] = 220  # BGR
        writer.write(frame)
    writer.release()
    predictions = predictor.predict(path)
    assert _labels(predictions) == [index % 3 for index in range(7)]
    assert predictions[4].path == f"{path}#4"
    path.write_bytes(b"no video")
    with pytest.raises(ImageError, match=r"clip\.avi"):
        predictor.predict(path)


def test_the_engine_of_an_artefact_names_the_image_that_cannot_be_read(predictor: Predictor, folder: Path) -> None:
    (folder / "05.jpg").write_text("text")
    engine = Engine(predictor.artifact.path)
    with pytest.raises(ImageError, match=r"The only image of the source cannot be read: .*05\.jpg"):
        engine.predict(folder / "05.jpg")
    assert len(engine.predict([folder / "05.jpg", folder / "04.jpg"])) == 1


def test_unreadable_images_are_skipped_and_named(predictor: Predictor, folder: Path) -> None:
    (folder / "03.jpg").write_bytes((folder / "03.jpg").read_bytes()[:-40])
    (folder / "05.jpg").write_text("text")
    predictions = predictor.predict(folder)
    assert len(predictions) == 10
    assert [Path(path).name for path, _ in predictions.skipped] == ["03.jpg", "05.jpg"]
    missing = predictor.predict([folder / "00.jpg", folder / "gone.jpg"])
    assert len(missing) == 1
    assert "gone.jpg" in missing.skipped[0][1]
    with pytest.raises(ImageError, match=r"The only image of the source cannot be read: .*05\.jpg"):
        predictor.predict(folder / "05.jpg")
    with pytest.raises(ImageError, match=r"03\.jpg"):
        predictor.predict(folder, strict=True)
    with pytest.raises(DataNotFoundError):
        predictor.predict([folder / "gone.jpg"], strict=True)


def test_sources_without_images_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, error in (
        (tmp_path / "empty", DataError),
        ([], DataError),
        (tmp_path / "gone.png", DataNotFoundError),
        (str(tmp_path / "*.png"), DataNotFoundError),
        (7, DataError),
        ({"a": 1}, DataError),
    ):
        with pytest.raises(error):
            predictor.predict(source)


def test_streaming_reads_only_a_little_ahead(predictor: Predictor) -> None:
    taken = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield np.full((8, 8, 3), (0, 255, 0), np.uint8)

    stream = predictor.predict(endless(), stream=True)
    for _ in range(25):
        assert isinstance(next(stream), Prediction)
    assert len(taken) <= 25 + 4 * predictor._threads
    stream.close()


def test_streams_collect_what_they_skip(predictor: Predictor, folder: Path) -> None:
    (folder / "01.jpg").write_text("text")
    stream = predictor.predict(folder, stream=True)
    assert len(list(stream)) == 11
    assert len(stream.skipped) == 1


def test_what_is_given_in_memory_can_be_drawn_later(predictor: Predictor, folder: Path) -> None:
    red = np.full((20, 30, 3), (200, 0, 0), np.uint8)
    with Image.open(next(folder.rglob("*.png"))) as opened:
        pil = opened.convert("RGB")
    data = next(folder.rglob("*.png")).read_bytes()
    for source in (red, [red, pil], data, np.stack([red, red]), [data]):
        for item in predictor.predict(source):
            assert item.label_names == LABELS
            assert item.draw().ndim == 3
    assert predictor.predict([red])[0].image is red, "kept, not copied"
    assert [item.image for item in predictor.predict(folder)] == [None] * 12


def test_a_passing_series_is_kept_only_while_it_streams(predictor: Predictor) -> None:
    red = np.full((20, 30, 3), (200, 0, 0), np.uint8)
    assert predictor.predict(image for image in [red])[0].image is None
    loader = type("Loader", (), {"__iter__": lambda self: iter([red])})()
    assert predictor.predict(loader)[0].image is None
    (item,) = predictor.predict((image for image in [red]), stream=True)
    assert item.image is red
    assert item.label_name == "red"


def test_a_data_set_brings_its_truth(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("0", "1")):
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(folder / f"0{number}.jpg", tmp_path / "data" / name / "a.jpg")
    data = load_dataset(tmp_path / "data")
    answers = predictor.predict(data)
    assert answers.truth is not None
    assert [answers.truth[item.path].path for item in answers] == list(data.paths)
    assert [row["truth"] for row in answers.to_dict()["predictions"]] == [{"names": ["0"]}, {"names": ["1"]}]
    again = pickle.loads(pickle.dumps(answers))
    assert again.to_dict() == answers.to_dict(), "a series is pickled after its truth was read, too"
    assert predictor.predict(folder).truth is None


def test_decode_gives_pixels_in_order(folder: Path) -> None:
    (folder / "02.jpg").write_text("text")
    skipped: list[tuple[str, str]] = []
    images = list(decode(folder, skipped=skipped))
    assert [Path(path).stem for path, _ in images] == [f"{n:02d}" for n in range(12) if n != 2]
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for _, image in images)
    assert len(skipped) == 1
    with pytest.raises(ImageError):
        list(decode(folder, strict=True))


def test_options_are_honoured_or_refused(artifact: Artifact, predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match="confidence"):
        predictor.predict(np.zeros((4, 4, 3), np.uint8), confidence=0.5)
    with pytest.raises(UnsupportedOptionError, match=r"sensitivity=0\.5 cannot be honoured: only models for"):
        predictor.predict(np.zeros((4, 4, 3), np.uint8), sensitivity=0.5)
    with pytest.raises(UnsupportedOptionError, match=r"sensitivity=0\.5 cannot be honoured: only models for"):
        load(predictor.artifact.path, sensitivity=0.5)
    with pytest.raises(OptionError, match=r"sensitivity=2 must be between 0 and 1"):
        load(predictor.artifact.path, sensitivity=2)
    assert predictor.sensitivity is None
    for options in ({"precision": "fp8"}, {"hint": "fast"}, {"num_requests": 0}, {"backend": "tensorrt"}):
        with pytest.raises(OptionError):
            load(artifact.path, **options)
    with pytest.raises(ArtifactError, match="NOPE"):
        load(artifact.path, device="NOPE")
    with pytest.raises(UnsupportedOptionError):
        load(artifact.path, backend="onnxruntime")
    many = _write_artifact(tmp_path / "m", task=Task.MULTILABEL_CLASSIFICATION, decoder="multilabel")
    image = np.full((9, 9, 3), (200, 30, 0), np.uint8)
    assert _names(load(many.path).predict(image)[0]) == [0, 1, 2]
    assert _names(load(many.path).predict(image, confidence=0.6)[0]) == [0, 1]
    with pytest.raises(OptionError, match="between 0 and 1"):
        load(many.path).predict(image, confidence=1.5)


def test_an_artefact_that_does_not_record_its_sensitivity_takes_none(tmp_path: Path) -> None:
    """Early exports left out what their scores were made with, so another one cannot be reckoned."""
    anomaly = {"task": Task.ANOMALY, "decoder": "anomaly", "label_names": (), "output_names": ("pred_score",)}
    image = np.full((9, 9, 3), (200, 30, 0), np.uint8)
    early = load(_write_artifact(tmp_path / "early", engine="some", **anomaly).path)
    assert early.sensitivity is None
    assert early.predict(image)[0].anomaly_score is not None
    for ask in (lambda: early.predict(image, sensitivity=0.6), lambda: load(early.artifact.path, sensitivity=0.6)):
        with pytest.raises(
            UnsupportedOptionError, match=r"sensitivity=0\.6 cannot be honoured.*Export the model again"
        ):
            ask()
    args = {"graph_sensitivity": [0.7, 0.7]}
    now = load(_write_artifact(tmp_path / "now", engine="some", decoder_args=args, **anomaly).path)
    assert (now.sensitivity, load(now.artifact.path, sensitivity=0.6).sensitivity) == (0.7, 0.6)


def _names(prediction: Prediction) -> list[int]:
    assert prediction.labels is not None
    return prediction.labels.tolist()


def test_no_framework_is_needed(artifact: Artifact, folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys, json\n"
        "for name in ('torch', 'torchvision', 'lightning', 'timm', 'anomalib', 'ultralytics', 'datumaro', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from drivetrain import load\n"
        f"print(json.dumps([int(p.labels[0]) for p in load({str(artifact.path)!r}).predict({str(folder)!r})]))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [index % 3 for index in range(12)]
    assert list(tmp_path.glob("*cache*")) == []


def test_a_moved_folder_still_works(artifact: Artifact, tmp_path: Path) -> None:
    shutil.copytree(artifact.path, tmp_path / "moved with spaces")
    for path in ("", "model.xml", "manifest.json"):
        loaded = load(tmp_path / "moved with spaces" / path)
        assert _labels(loaded.predict(np.full((5, 5, 3), (0, 0, 99), np.uint8))) == [2]
