# ruff: noqa: TID253 - tests use the frameworks outright
"""Train on a YOLO folder, write predictions, open them in the formats' own tools, correct them, train on them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import datumaro as dm
import numpy as np
import pytest
from pycocotools.coco import COCO

from drivetrain import Engine
from drivetrain.data import load_dataset
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data
from drivetrain.types import Predictions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    root = tmp_path_factory.mktemp("loop")
    source = data.yolo(root / "data", subsets={"train": 32, "val": 4, "test": 6})
    engine = Engine("ultralytics:yolo11n", source, work_dir=root / "run")
    engine.progress = SilentProgress()
    engine.train(2, batch_size=8, image_size=64, learning_rate=0.005, engine_args={"warmup_epochs": 0, "mosaic": 0.0})
    found = engine.predict(confidence=0.001)
    assert sum(len(item.labels) for item in found if item.labels is not None) >= 3
    return found


def test_coco_and_cvat_say_the_same_as_the_predictions(answers: Predictions, tmp_path: Path) -> None:
    coco = COCO(str(answers.save(tmp_path / "answers.json", "coco")))
    items = {item.id: item for item in dm.Dataset.import_from(str(answers.save(tmp_path / "cvat", "cvat")), "cvat")}
    images = {Path(image["file_name"]).stem: image["id"] for image in coco.dataset["images"]}
    names = {category["id"]: category["name"] for category in coco.dataset["categories"]}
    assert len(images) == len(items) == len(answers)
    for item in answers:
        stem = Path(item.path).stem
        first = coco.loadAnns(coco.getAnnIds(imgIds=[images[stem]]))
        second = items[stem].annotations
        assert item.boxes is not None
        assert item.labels is not None
        wanted = [item.name_of(label) for label in item.labels]
        assert [names[entry["category_id"]] for entry in first] == wanted
        assert [answers.label_names[entry.label] for entry in second] == wanted
        xywh = np.concatenate([item.boxes[:, :2], item.boxes[:, 2:] - item.boxes[:, :2]], axis=1)
        np.testing.assert_allclose(np.reshape([entry["bbox"] for entry in first], (-1, 4)), xywh, atol=1e-4)
        np.testing.assert_allclose(np.reshape([entry.get_bbox() for entry in second], (-1, 4)), xywh, atol=0.02)
        np.testing.assert_allclose([entry["score"] for entry in first], item.scores, atol=1e-6)
        np.testing.assert_allclose([float(entry.attributes["score"]) for entry in second], item.scores, atol=1e-4)


def test_what_was_corrected_in_cvat_is_trained_on(answers: Predictions, tmp_path: Path) -> None:
    folder = answers.save(tmp_path / "cvat", "cvat", save_media=True)
    (file,) = folder.glob("*.xml")
    tree = ET.parse(file)
    for image in tree.getroot().iter("image"):
        for box in image.findall("box")[1:]:
            image.remove(box)
        for box in image.findall("box"):
            box.set("label", answers.label_names[0])
            box.set("xtl", "2.0"), box.set("ytl", "2.0"), box.set("xbr", "20.0"), box.set("ybr", "20.0")
    tree.write(file)
    corrected = load_dataset(folder)
    assert len(corrected) == len(answers)
    assert corrected.object_counts.max() == 1
    boxes = np.concatenate([sample.boxes for sample in corrected if sample.boxes is not None])
    assert (boxes == [2, 2, 20, 20]).all()
    engine = Engine("ultralytics:yolo11n", corrected.split(0.6, 0.2, 0.2), work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    assert engine.train(1, batch_size=4, image_size=64).best_checkpoint.exists()
