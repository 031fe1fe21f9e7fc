"""The getitune engine with getitune installed: `make test-versions ENGINES=getitune` makes the environment for it."""

# ruff: noqa: TID253 - what is tested is made of torch

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import drivetrain
from drivetrain import Engine, load
from drivetrain.engines.getitune import build, listing, recipes
from drivetrain.errors import DataError, ModelError, OptionError, UnsupportedOptionError
from drivetrain.testing import data
from drivetrain.types import Task

SMALL: dict[str, Any] = {"image_size": 64, "batch_size": 4}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "classes")


def test_every_listed_model_has_its_class_and_its_arguments() -> None:
    found = listing.models()
    assert len(found["models"]) > 5
    for row in found["models"]:
        cls = build.object_at(row["class_path"].replace(":", "."))
        assert isinstance(cls, type), row
        for task in row["tasks"]:
            assert recipes.find_recipe(row["name"], Task.parse(task)).class_path


def test_its_import_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    build.object_at("getitune.backend.lightning.models.base.LightningModel")
    assert dict(os.environ) == before
    assert "getitune" in sys.modules


def test_a_classifier_trains_answers_and_is_exported(classes: Path, tmp_path: Path) -> None:
    engine = Engine("getitune:mobilenet_v3_large", classes, work_dir=tmp_path / "run")
    assert isinstance(engine, drivetrain.GetituneEngine)
    result = engine.train(max_epochs=2, **SMALL)
    assert [row.epoch for row in result.history] == [0, 1]
    assert result.metrics["val/accuracy"] >= 0
    used = engine.record.content["effective_options"] if hasattr(engine, "record") else {}
    assert used == {} or used["image_size"] == [64, 64]
    metrics = engine.test()
    predictions = engine.predict(classes / "val")
    artifact = engine.export("openvino")
    there = load(artifact.path)
    for mine, theirs in zip(predictions, there.predict(classes / "val"), strict=True):
        np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=2e-3)
    assert engine.export("onnx").path.is_dir()
    opened = Engine(tmp_path / "run", classes)
    assert opened.test()["accuracy"] == pytest.approx(metrics["accuracy"])


def test_several_labels_an_image(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(0), ["path,labels,split"]
    for number in range(24):
        has = random.random(2) < 0.5
        pixels = random.integers(0, 40, (64, 64, 3)).astype(np.uint8)
        pixels[:, :32, 0] += np.uint8(200 * has[0])
        pixels[:, 32:, 1] += np.uint8(200 * has[1])
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        labels = "|".join(name for name, there in zip(("left", "right"), has, strict=True) if there)
        rows.append(f"{number}.png,{labels},{'train' if number < 16 else 'val' if number < 20 else 'test'}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    engine = Engine("getitune:mobilenet_v3_large", table, task="multilabel_classification", work_dir=tmp_path / "run")
    result = engine.train(max_epochs=1, **SMALL)
    assert "upstream/val/map" in result.metrics
    images = [tmp_path / f"{number}.png" for number in range(20, 24)]
    there = load(engine.export("openvino").path)
    for mine, theirs in zip(engine.predict(images), there.predict(images), strict=True):
        assert mine.probabilities.shape == (2,)
        np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=2e-3)


def test_a_run_is_continued(classes: Path, tmp_path: Path) -> None:
    whole = Engine("getitune:mobilenet_v3_large", classes, work_dir=tmp_path / "whole")
    whole.train(max_epochs=2, **SMALL)
    parts = Engine("getitune:mobilenet_v3_large", classes, work_dir=tmp_path / "parts")
    parts.train(max_epochs=1, **SMALL)
    parts.train(max_epochs=2, resume=True, **SMALL)
    last = [torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "parts")]
    for name, value in last[0]["state_dict"].items():
        assert torch.equal(value, last[1]["state_dict"][name]), name


def test_bad_input_is_refused_with_the_next_step(classes: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelError, DataError, OptionError), match="DETECTION, which drivetrain does not serve yet"):
        Engine("getitune:atss_mobilenetv2", classes, task="classification", work_dir=tmp_path / "a").train(1)
    with pytest.raises(ModelError, match="ultralytics:yolo26n"):
        Engine("getitune:yolo26_n", classes)
    with pytest.raises(UnsupportedOptionError, match="pretrained_weights"):
        Engine("getitune:mobilenet_v3_large", classes, model_args={"pretrained": True}, work_dir=tmp_path / "b").train(
            1, **SMALL
        )
