"""INT8 of trained models of every kind: what they lose, and how much smaller their weights are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine, load, verify
from drivetrain.runs.progress import SilentProgress
from drivetrain.runtime.artifact import Artifact
from drivetrain.testing import data

pytestmark = pytest.mark.slow
pytest.importorskip("nncf")

SUBSETS = {"train": 60, "val": 24, "test": 12}


def trained(model: str, folder: Path, work_dir: Path, options: Mapping[str, Any], **more: Any) -> Engine:
    engine = Engine(model, folder, work_dir=work_dir, device="cpu", **more)
    engine.progress = SilentProgress()
    engine.train(num_workers=0, **options)
    return engine


def check(engine: Engine, artifact: Artifact, *, smaller: float, at_least: float) -> None:
    """The drop is at most one percent, the weights are smaller, and the artefact serves by itself."""
    report = artifact.optimization
    (metric,) = report["metrics"]
    print(
        metric, report["before"][metric], report["after"][metric], report["bytes"], report["method"], report["layers"]
    )
    assert report["before"][metric] >= at_least, "a model that has learned nothing has nothing to lose"
    assert report["drop"] <= 0.01
    assert report["bytes"]["before"] >= smaller * report["bytes"]["after"]
    verify(artifact)
    images = list(engine.dataset.subset("test").paths[:4])
    assert len(load(artifact.path).predict(images)) == len(images)


def test_a_classifier(tmp_path: Path) -> None:
    folder = data.class_folders(tmp_path / "classes", subsets=SUBSETS, size=48)
    engine = trained("timm:resnet10t", folder, tmp_path / "run", {"max_epochs": 6, "image_size": 64})
    check(engine, engine.optimize(), smaller=3.0, at_least=0.9)


def test_a_classifier_in_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = data.class_folders(tmp_path / "classes", subsets=SUBSETS, size=48)
    engine = trained("timm:resnet10t", folder, tmp_path / "run", {"max_epochs": 6, "image_size": 64})
    exported = engine.export("onnx")
    artifact = Engine(exported.path, folder, work_dir=tmp_path / "light").optimize()
    assert artifact.format == "onnx"
    check(engine, artifact, smaller=3.0, at_least=0.9)


def test_a_yolo(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics")
    folder = data.yolo(tmp_path / "shapes", subsets={"train": 160, "val": 40, "test": 8})
    args = {"warmup_epochs": 0, "mosaic": 0.0, "close_mosaic": 0}
    options = {"max_epochs": 14, "image_size": 64, "batch_size": 8, "learning_rate": 0.005, "engine_args": args}
    engine = trained("yolo11n", folder, tmp_path / "run", options)
    artifact = engine.optimize()
    check(engine, artifact, smaller=3.0, at_least=0.3)
    assert (artifact.path / "metadata.yaml").is_file(), "Ultralytics' own loader opens it"


def test_a_detector_of_torchvision(tmp_path: Path) -> None:
    """Half of a MobileNet's weights are in small layers that NNCF leaves alone, so it shrinks less."""
    folder = data.coco(tmp_path / "shapes", subsets={"train": 120, "val": 30, "test": 8})
    options = {"max_epochs": 10, "image_size": 64, "batch_size": 8, "learning_rate": 0.002}
    engine = trained("torchvision:ssdlite320_mobilenet_v3_large", folder, tmp_path / "run", options)
    check(engine, engine.optimize(), smaller=1.5, at_least=0.02)


def test_a_segmenter(tmp_path: Path) -> None:
    folder = data.class_maps(tmp_path / "maps", subsets={"train": 80, "val": 24, "test": 8})
    options = {"max_epochs": 20, "image_size": 64, "batch_size": 8, "learning_rate": 0.003}
    engine = trained("torchvision:lraspp_mobilenet_v3_large", folder, tmp_path / "run", options)
    check(engine, engine.optimize(), smaller=1.5, at_least=0.3)
