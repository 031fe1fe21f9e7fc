"""Results for people and for programs."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from drivetrain.cli.render import jsonable, show
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import EpochRecord, ImageSpec, Metrics, Prediction, Predictions, Task, TrainResult


def text_of(result: object) -> str:
    stream = io.StringIO()
    show(result, stream, as_json=False)
    return stream.getvalue()


def json_of(result: object) -> dict:
    stream = io.StringIO()
    show(result, stream, as_json=True)
    return json.loads(stream.getvalue())


def predictions(*items: Prediction, task: Task = Task.DETECTION) -> Predictions:
    return Predictions(items, task=task, label_names=("cat", "dog"), skipped=[("bad.png", "is cut off")])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (math.nan, None),
        (np.array([np.inf]), [None]),
        ((1, Path("a")), [1, "a"]),
        ({1: Task.DETECTION}, {"1": "detection"}),
        (np.bool_(True), True),
    ],
)
def test_plain_data(value: object, plain: object) -> None:
    assert jsonable(value) == plain
    json.dumps(jsonable(value), allow_nan=False)


def test_metrics() -> None:
    metrics = Metrics(
        {"map": 0.123456, "upstream/mAP": math.nan},
        per_class={"map": {f"class{n}": n / 100 for n in range(25)}},
        tables={"confusion_matrix": [[1, 0], [0, 1]]},
        count=7,
    )
    text = text_of(metrics)
    assert "0.1235" in text
    assert "class19" in text
    assert "class20" not in text
    assert "... and 5 more classes; --json shows all." in text
    assert "Evaluated on 7 images." in text
    data = json_of(metrics)
    assert data["values"] == {"map": 0.123456, "upstream/mAP": None}
    assert data["per_class"]["map"]["class24"] == 0.24
    assert data["tables"] == {"confusion_matrix": [[1, 0], [0, 1]]}


def test_a_training_without_choice(tmp_path: Path) -> None:
    result = TrainResult(
        None, None, Metrics({}), (EpochRecord(0, {"train/loss": 1.0}),), {"max_epochs": (20, 1)}, tmp_path, ("a note",)
    )
    text = text_of(result)
    assert "max_epochs: requested 20, used 1" in text
    assert "there was no metric to select by" in text
    assert "report.html" not in text
    assert json_of(result)["history"] == [{"epoch": 0, "train/loss": 1.0}]
    assert json_of(result)["notes"] == ["a note"]


def test_detections() -> None:
    item = Prediction(
        "a[1].png",
        (10, 20),
        labels=np.array([1] * 7),
        scores=np.linspace(0.9, 0.3, 7, dtype=np.float32),
        boxes=np.zeros((7, 4), np.float32),
        masks=np.ones((7, 10, 20), bool),
    )
    text = text_of(predictions(item, Prediction("b.png", (4, 4), labels=np.zeros(0, np.int64))))
    assert "a[1].png" in text
    assert "dog 0.900, dog 0.800" in text
    assert "and 2 more" in text
    assert "nothing" in text
    assert "skipped bad.png: is cut off" in text
    data = json_of(predictions(item))
    assert data["task"] == "detection"
    assert data["label_names"] == ["cat", "dog"]
    assert data["skipped"] == [{"path": "bad.png", "reason": "is cut off"}]
    row = data["predictions"][0]
    assert row["size"] == [10, 20]
    assert len(row["boxes"]) == 7
    assert row["masks"][0]["size"] == [10, 20]
    assert "anomaly_score" not in row


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (Prediction("", (2, 2), anomaly_score=0.7, anomaly_map=np.zeros((2, 2), np.float32)), "anomalous 0.700"),
        (Prediction("", (2, 2), anomaly_score=0.49), "normal 0.490"),
        (Prediction("", (2, 2), class_map=np.array([[0, 1], [1, 1]])), "dog 75.0%, cat 25.0%"),
        (Prediction("", (2, 2), class_map=np.full((2, 2), 255)), "255 100.0%"),
        (Prediction("", (2, 2), labels=np.array([0])), "cat"),
        (Prediction("", (2, 2), depth_map=np.full((2, 2), 1.5, np.float32)), "depth 1.5 to 1.5"),
    ],
)
def test_other_answers(item: Prediction, answer: str) -> None:
    text = text_of(predictions(item))
    assert answer in text
    assert "#0" in text


def test_long_lists_are_cut_for_people_only() -> None:
    many = predictions(*(Prediction(f"{n}.png", (2, 2), anomaly_score=0.1) for n in range(30)), task=Task.ANOMALY)
    assert "... and 10 more images; --json shows all." in text_of(many)
    assert len(json_of(many)["predictions"]) == 30


def test_an_artefact(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("x" * 2_000_000)
    artifact = Artifact(
        path=tmp_path,
        format="openvino",
        precision="fp16",
        task=Task.CLASSIFICATION,
        label_names=("cat", "dog"),
        image_spec=ImageSpec(32, 32),
        decoder="classification",
        model_file="model.xml",
        engine="lightning",
        model_name="timm:resnet18",
        parity={
            "images": ["a.png", "b.png"],
            "max_difference": {"probabilities": 1.5e-6},
            "tolerance": {"probabilities": 1e-4},
            "agreement": 1.0,
            "passed": True,
        },
    ).write_manifest()
    text = text_of(artifact)
    for part in (str(tmp_path), "openvino fp16", "2.0 MB", "1.5e-06", "0.0001", "Same decision on 100.0% of 2 images."):
        assert part in text
    data = json_of(artifact)
    assert data["path"] == str(tmp_path)
    assert data["model_path"] == str(tmp_path / "model.xml")
    assert data["parity"]["passed"] is True


def test_paths_are_shown_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    near, far = Prediction(str(tmp_path / "new" / "a.png"), (2, 2)), Prediction("/far/b.png", (2, 2))
    rows = text_of(predictions(near, far)).splitlines()
    assert any(row.split()[:1] == ["new/a.png"] for row in rows)
    assert any(row.split()[:1] == ["/far/b.png"] for row in rows)
    assert json_of(predictions(near))["predictions"][0]["path"] == near.path
