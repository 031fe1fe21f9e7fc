"""The examples of docs/use-the-model.md are run on a model that finds dark pictures anomalous."""

# ruff: noqa: TID253 - tests use the frameworks outright

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from PIL import Image
from readme import ROOT

from drivetrain import Prediction
from drivetrain.data.save_predictions import HOLDS
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess_graph import embed_preprocessing
from drivetrain.types import ImageSpec, Task

PAGE = (ROOT / "docs" / "use-the-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def write_model(folder: Path) -> None:
    """Its score is how dark the picture is, its map how dark each place is."""
    spec = ImageSpec(16, 16)
    opset = ov.opset13
    parameter = opset.parameter([1, 3, 16, 16], ov.Type.f32)
    axes = np.array([2, 3])
    heat = opset.reduce_mean(opset.subtract(np.float32(1), parameter), np.array([1]), keep_dims=True)
    score = opset.reshape(opset.reduce_mean(heat, axes, keep_dims=False), np.array([1]), special_zero=False)
    heat.output(0).set_names({"anomaly_map"})
    score.output(0).set_names({"pred_score"})
    folder.mkdir(parents=True)
    model = embed_preprocessing(ov.Model([score, heat], [parameter]), spec, dynamic_batch=False)
    ov.save_model(model, folder / "model.xml", False)
    Artifact(
        path=folder,
        format="openvino",
        precision="fp32",
        task=Task.ANOMALY,
        label_names=(),
        image_spec=spec,
        decoder="anomaly",
        model_file="model.xml",
        output_names=("pred_score", "anomaly_map"),
    ).write_manifest()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model, three pictures and a file bottle.png; no screen, and a camera of two frames."""
    write_model(tmp_path / "runs" / "bottles" / "artifacts" / "openvino-fp32")
    (tmp_path / "new").mkdir()
    for number, level in enumerate((10, 200, 220)):
        Image.new("RGB", (40, 30), (level,) * 3).save(tmp_path / "new" / f"{number}.png")
    Image.new("RGB", (40, 30), (200, 20, 20)).save(tmp_path / "bottle.png")
    monkeypatch.chdir(tmp_path)
    frames = [np.full((30, 40, 3), level, np.uint8) for level in (20, 210)]

    class Camera:
        def __init__(self, number: int) -> None:
            assert number == 0

        def isOpened(self) -> bool:  # noqa: N802 - the name in OpenCV
            return True

        def get(self, what: int) -> float:
            return 2.0  # frames in all

        def read(self) -> tuple[bool, Any]:
            return (True, frames.pop(0)) if frames else (False, None)

        def release(self) -> None:
            frames.clear()

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: None)
    monkeypatch.setattr(cv2, "waitKey", lambda wait: 0)
    monkeypatch.setattr(Prediction, "show", lambda self: self.draw())
    return tmp_path


def test_the_examples_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    assert "Predictions(3 images, anomaly: 2 normal, 1 anomalous)" in capsys.readouterr().out
    assert [path.name for path in (place / "found").iterdir()] == ["0.96.jpg"]
    assert len(list((place / "pictures").iterdir())) == 3
    assert len(list((place / "for-labelling" / "images" / "predicted").iterdir())) == 3
    assert {"answers.csv", "answers.json", "answer.jpg", "drawn.png"} <= {path.name for path in place.iterdir()}
    assert names["picture"].dtype == np.uint8


def test_rgb_and_bgr_as_the_page_says(place: Path) -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[0], names)
    model = names["model"]
    by_file, by_array = model.predict("bottle.png")[0], model.predict(cv2.imread("bottle.png")[..., ::-1])[0]
    np.testing.assert_array_equal(by_file.draw(), by_array.draw())


def test_the_table_of_formats_is_the_code() -> None:
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| [^|]*(?:file|folder|pictures)", PAGE, flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} == HOLDS.keys()


def test_the_fields_of_the_page_are_those_of_a_prediction() -> None:
    table = PAGE.partition("## The fields of each task")[2].partition("Labels are numbers")[0]
    named = {
        name
        for row in re.findall(r"^\|[^|]*\|([^|]*)\|", table, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    others = {"path", "size", "label_names", "image", "timestamp"}
    assert named == {field.name for field in fields(Prediction)} - others
    for name in re.findall(r"answers?(?:\[0\])?\.(\w+)", PAGE):
        assert hasattr(Prediction, name) or name in ("csv", "json", "jpg", "skipped", "truth"), name
