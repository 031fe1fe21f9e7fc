# ruff: noqa: TID253 - tests use the frameworks outright
"""What is written, opened by the formats' own tools or held against their published description."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import datumaro as dm
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.errors import DataError
from drivetrain.images.masks import object_mask
from drivetrain.images.rle import encode_mask
from drivetrain.types import Prediction, Predictions, Task

SIZE = (24, 32)
TURNED = [10.0, 4.0, 18.0, 10.0, 12.0, 18.0, 4.0, 12.0]  # 10 x 10, turned by the angle of 3, 4, 5
NAMES = ("nut", "big bolt")


def pictures(folder: Path, count: int) -> list[str]:
    folder.mkdir()
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return [str(folder / f"{index}.png") for index in range(count)]


@pytest.fixture
def answers(tmp_path: Path) -> Predictions:
    """Two objects on the first image, none on the second."""
    boxes = np.array([[1, 2, 9, 12], [10.5, 3, 30, 20]], np.float32)
    items = [
        Prediction(
            path, SIZE, labels=np.array([1, 0])[:n], scores=np.array([0.75, 0.25], np.float32)[:n], boxes=boxes[:n]
        )
        for path, n in zip(pictures(tmp_path / "source", 2), (2, 0), strict=True)
    ]
    return Predictions(items, task=Task.DETECTION, label_names=NAMES)


def made(tmp_path: Path, task: Task, *records: dict[str, Any], names: tuple[str, ...] = NAMES) -> Dataset:
    paths = pictures(tmp_path / "source", len(records))
    rows = [
        Record(path, size=SIZE, image_id=n, **more) for n, (path, more) in enumerate(zip(paths, records, strict=True))
    ]
    return Dataset(build_table(rows), Facts(names, task, format="made"))


def oriented(tmp_path: Path) -> Dataset:
    one = {"boxes": [4, 4, 18, 18], "box_labels": [1], "polygons": [[TURNED]], "area": [100], "iscrowd": [False]}
    return made(tmp_path, Task.ORIENTED_DETECTION, one)


@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro"])
def test_scores_survive(name: str, answers: Predictions, tmp_path: Path) -> None:
    back = load_dataset(answers.save(tmp_path / "out", name))
    assert back.scores is not None
    found = {Path(sample.path).name: scores for sample, scores in zip(back, back.scores, strict=True)}
    assert found["0.png"] == [0.75, 0.25]
    np.testing.assert_allclose(back[0].boxes, answers[0].boxes, atol=0.01)


def test_scores_of_labels_survive(tmp_path: Path) -> None:
    path = pictures(tmp_path / "source", 1)[0]
    item = Prediction(path, SIZE, labels=np.array([1]), scores=np.array([0.5], np.float32))
    answers = Predictions([item], task=Task.CLASSIFICATION, label_names=NAMES)
    for name in ("coco", "cvat", "datumaro"):
        assert load_dataset(answers.save(tmp_path / name, name)).scores == [[0.5]]


def test_cvat_has_the_scores_as_attributes_of_the_shapes(answers: Predictions, tmp_path: Path) -> None:
    (file,) = answers.save(tmp_path / "out", "cvat").glob("*.xml")
    root = ET.parse(file).getroot()
    first, second = root.findall("image")
    assert {image.get("name") for image in (first, second)} == {"0.png", "1.png"}
    (bolt, nut) = first.findall("box")
    assert [(box.get("label"), float(box.findtext("attribute[@name='score']"))) for box in (bolt, nut)] == [
        ("big bolt", 0.75),
        ("nut", 0.25),
    ]
    assert [float(nut.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")] == [10.5, 3, 30, 20]
    assert second.findall("box") == []
    assert "score" in [name.text for name in root.findall("meta//attribute/name")]


def test_masks_survive_in_cvat(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.bool_)
    mask[4:9, 10:20] = mask[6:7, 20:28] = True
    box = {"boxes": [10, 4, 28, 9], "box_labels": [0], "rles": [encode_mask(mask)], "area": [58], "iscrowd": [False]}
    data = made(tmp_path, Task.INSTANCE_SEGMENTATION, box)
    back = load_dataset(data.export(tmp_path / "out", "cvat"))
    np.testing.assert_array_equal(object_mask(back[0], 0), mask)


@pytest.mark.parametrize("name", ["yolo", "dota", "cvat"])
def test_oriented_boxes_survive(name: str, tmp_path: Path) -> None:
    data = oriented(tmp_path)
    back = load_dataset(data.export(tmp_path / "out", name), "dota" if name == "dota" else None)
    assert back.task is Task.ORIENTED_DETECTION
    corners = back[0].polygons[0][0]
    for corner in np.reshape(TURNED, (4, 2)):  # a box has no first corner
        assert np.abs(corners - corner).sum(axis=1).min() < 0.05


def test_dota_is_read_by_datumaro(tmp_path: Path) -> None:
    folder = oriented(tmp_path).export(tmp_path / "out", "dota")
    (item,) = dm.Dataset.import_from(str(folder), "dota")
    (box,) = item.annotations
    assert (box.w, box.h) == (pytest.approx(10, abs=0.01), pytest.approx(10, abs=0.01))
    assert (folder / "train" / "labelTxt" / "0.txt").read_text() == "10 4 18 10 12 18 4 12 big-bolt 0\n"


def test_dota_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    box = {"boxes": [1, 1, 9, 9], "box_labels": [1], "area": [64], "iscrowd": [False]}
    data = made(tmp_path, Task.DETECTION, box, names=("a-b", "a b"))
    with pytest.raises(DataError, match="two labels are the same"):
        data.export(tmp_path / "out", "dota")


def test_mvtec_folders_are_read_back_with_masks(tmp_path: Path) -> None:
    ring = [[4.0, 4.0, 20.0, 4.0, 20.0, 12.0, 4.0, 12.0]]
    crack = {"boxes": [4, 4, 20, 12], "box_labels": [1], "polygons": [ring], "area": [128], "iscrowd": [False]}
    data = made(
        tmp_path,
        Task.ANOMALY,
        {"anomalous": False, "subset": "train"},
        {"anomalous": False, "subset": "val"},
        {"anomalous": True, "subset": "test", **crack},
        {"anomalous": True, "subset": "test", "labels": [1]},
        names=("good", "crack"),
    )
    folder = data.export(tmp_path / "out", "mvtec")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png")) == [
        *("ground_truth/crack/2_mask.png", "test/crack/2.png", "test/crack/3.png", "test/good/1.png"),
        "train/good/0.png",
    ]
    pixels = np.asarray(Image.open(folder / "ground_truth" / "crack" / "2_mask.png"))
    assert sorted(np.unique(pixels)) == [0, 255]
    back = load_dataset(folder)
    assert (back.format, back.task, back.subsets) == ("mvtec", Task.ANOMALY, {"train": 1, "test": 3})


def test_mvtec_refuses_to_train_on_defects_and_unknown_images(tmp_path: Path) -> None:
    bad = made(tmp_path, Task.ANOMALY, {"anomalous": True, "subset": "train", "labels": [1]})
    with pytest.raises(DataError, match="trains only on normal images"):
        bad.export(tmp_path / "out", "mvtec")
    unknown = made(tmp_path / "source", Task.CLASSIFICATION, {"labels": [1]})
    with pytest.raises(DataError, match="it is unknown which"):
        unknown.export(tmp_path / "out", "mvtec")


def test_label_studio_as_its_description_says(answers: Predictions, tmp_path: Path) -> None:
    folder = answers.save(tmp_path / "out", "label_studio")
    first, second = json.loads((folder / "tasks.json").read_text())
    assert first["data"]["image"] == "/data/local-files/?d=images/0.png"
    assert (folder / "images" / "0.png").exists()
    (prediction,) = first["predictions"]
    bolt, nut = prediction["result"]
    assert (bolt["type"], bolt["value"]["rectanglelabels"], bolt["score"]) == ("rectanglelabels", ["big bolt"], 0.75)
    assert (bolt["original_height"], bolt["original_width"]) == SIZE
    value = nut["value"]
    assert [value[key] for key in ("x", "y", "width", "height", "rotation")] == [
        *(100 * 10.5 / 32, 12.5, 100 * 19.5 / 32, pytest.approx(100 * 17 / 24), 0)
    ]
    assert second["predictions"] == [{"result": []}]
    config = ET.parse(folder / "labeling_config.xml").getroot()
    controls = {control.get("name"): control.get("toName") for control in config if control.get("toName")}
    assert {(r["from_name"], r["to_name"]) for r in prediction["result"]} <= set(controls.items())
    assert [label.get("value") for label in config.findall("RectangleLabels/Label")] == list(NAMES)


def test_label_studio_turns_a_box_about_its_first_corner(tmp_path: Path) -> None:
    folder = oriented(tmp_path).export(tmp_path / "out", "label_studio")
    (task,) = json.loads((folder / "tasks.json").read_text())
    value = task["annotations"][0]["result"][0]["value"]
    angle = np.radians(value["rotation"])
    corner = np.array([value["x"] * 32, value["y"] * 24]) / 100
    along = np.array([np.cos(angle), np.sin(angle)]) * value["width"] * 32 / 100
    down = np.array([-np.sin(angle), np.cos(angle)]) * value["height"] * 24 / 100
    found = np.concatenate([corner, corner + along, corner + along + down, corner + down])
    np.testing.assert_allclose(found, TURNED, atol=1e-4)


def test_parquet_has_everything(answers: Predictions, tmp_path: Path) -> None:
    folder = answers.save(tmp_path / "out", "parquet")
    table = pq.read_table(folder / "annotations.parquet")
    rows = table.to_pylist()
    assert [(folder / row["path"]).is_file() for row in rows] == [True, True]
    assert rows[0]["box_label_names"] == ["big bolt", "nut"]
    assert rows[0]["scores"] == [0.75, 0.25]
    assert rows[0]["boxes"] == [1, 2, 9, 12, 10.5, 3, 30, 20]
    facts = json.loads(table.schema.metadata[b"drivetrain"])
    assert (facts["label_names"], facts["task"]) == (list(NAMES), "detection")


def test_the_numbers_of_tracked_objects_are_written_where_a_format_has_a_field(
    answers: Predictions, tmp_path: Path
) -> None:
    items = [replace(answers[0], track_ids=np.array([7, -1])), replace(answers[1], track_ids=np.zeros(0, np.int64))]
    tracked = Predictions(items, task=answers.task, label_names=NAMES)
    data = tracked.to_dataset()
    assert data.track_ids == [[7, -1], []]
    assert answers.to_dataset().track_ids is None
    assert data.remap({"nut": None}).track_ids == [[7], []], "the second object goes with its label"
    for format_name in ("coco", "cvat", "datumaro", "parquet"):
        tracked.save(tmp_path / format_name, format_name)
    (document,) = (json.loads(file.read_text()) for file in (tmp_path / "coco").rglob("*.json"))
    assert [entry.get("track_id") for entry in document["annotations"]] == [7, None]
    boxes = next(ET.parse(file) for file in (tmp_path / "cvat").rglob("*.xml")).getroot().iter("box")
    named = [{part.get("name"): part.text for part in box.iter("attribute")}.get("track") for box in boxes]
    assert named == ["7", None]
    (items_of,) = (json.loads(file.read_text())["items"] for file in (tmp_path / "datumaro").rglob("*.json"))
    found = [part["attributes"].get("track_id") for item in items_of for part in item["annotations"]]
    assert found == [7, None]
    rows = pq.read_table(tmp_path / "parquet" / "annotations.parquet").to_pylist()
    assert [row["track_ids"] for row in rows] == [[7, -1], []]
    assert load_dataset(tmp_path / "parquet").track_ids == [[7, -1], []]


def test_data_sets_that_were_saved_without_tracks_are_still_opened(answers: Predictions, tmp_path: Path) -> None:
    data = answers.to_dataset()
    old = Dataset(data.table.drop_columns(["track_ids"]), data.facts).save(tmp_path / "old.arrow")
    assert Dataset.load(old).track_ids is None
    assert Dataset.load(old).table.schema.names == data.table.schema.names
    folder = answers.save(tmp_path / "out", "parquet")
    file = folder / "annotations.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["track_ids"]), file)
    assert load_dataset(folder).object_counts.tolist() == [2, 0]


def test_labels_of_images_in_yolo_are_folders(tmp_path: Path) -> None:
    from drivetrain.engines.ultralytics.containment import ultralytics

    ultralytics()  # first, so that it leaves this process as it was
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset

    data = made(tmp_path, Task.CLASSIFICATION, {"labels": [1]}, {"labels": [0]}, {"labels": [0], "subset": "val"})
    folder = data.export(tmp_path / "out", "yolo")
    found = ClassificationDataset(str(folder / "train"), get_cfg(), augment=False)
    assert found.base.class_to_idx == {"big bolt": 0, "nut": 1}
    assert len(found.samples) == 2
    assert load_dataset(folder).subsets == {"train": 2, "val": 1}
