from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from drivetrain.data import dataset_from_predictions, load_dataset
from drivetrain.data.dataset import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.errors import DataError, OptionError
from drivetrain.images import rle as run_length
from drivetrain.images.masks import object_mask
from drivetrain.types import Prediction, Predictions, Task

CORNERS = [10, 2, 20, 8, 14, 16, 4, 10]


@pytest.fixture
def objects(tmp_path, make_image):
    """Two images of 24 x 32, the first with two objects, and a third without any."""

    def make(task: Task, *, rles: bool = False, keypoints: bool = False) -> Dataset:
        mask = np.zeros((24, 32), np.bool_)
        mask[5:9, 6:12] = True
        records = []
        for index, subset in enumerate(("train", "train", "val")):
            path = make_image(tmp_path / "source" / f"{subset}{index}" / "same.jpg", seed=index)
            record = Record(str(path), subset, (24, 32), 5 + index, boxes=[], box_labels=[], area=[], iscrowd=[])
            if index < 2:
                polygons = [[CORNERS], [[1, 1, 9, 1, 9, 9]]] if task is not Task.ORIENTED_DETECTION else [[CORNERS]] * 2
                record.boxes = [4, 2, 20, 16, 1, 1, 9, 9]
                record.box_labels, record.area, record.iscrowd = [1, 0], [99, 32], [False, False]
                if task is Task.ORIENTED_DETECTION:
                    record.boxes = [4, 2, 20, 16] * 2
                if task in (Task.INSTANCE_SEGMENTATION, Task.ORIENTED_DETECTION):
                    record.polygons = polygons
                if rles:
                    record.rles = [None, run_length.encode_mask(mask)]
                    record.polygons = [[CORNERS], []]
                    record.boxes[4:] = [6, 5, 12, 9]
            if keypoints:
                record.keypoints = [[5, 6, 2, 7, 8, 1], [0, 0, 0, 3, 4, 2]] if index < 2 else []
            records.append(record)
        names = ("head", "tip") if keypoints else ()
        return Dataset(build_table(records), Facts(("nut", "bolt"), task, format="made", keypoint_names=names))

    return make


def same(first: Dataset, second: Dataset, *, tolerance: float = 1e-3, shapes: bool = True) -> None:
    assert second.label_names == first.label_names
    assert second.subsets == first.subsets
    assert second.task is first.task
    truth = {Path(sample.path).read_bytes(): sample for sample in first}
    for sample in second:
        expected = truth[Path(sample.path).read_bytes()]
        assert (sample.size, sample.subset) == (expected.size, expected.subset)
        np.testing.assert_allclose(sample.boxes, expected.boxes, atol=tolerance)
        assert sample.box_labels.tolist() == expected.box_labels.tolist()
        if shapes and expected.polygons:
            for mine, other in zip(sample.polygons, expected.polygons, strict=True):
                for ring, reference in zip(mine, other, strict=True):
                    np.testing.assert_allclose(ring, reference, atol=tolerance)
        if expected.keypoints is not None:
            np.testing.assert_allclose(sample.keypoints, expected.keypoints, atol=tolerance)
        if expected.rles:
            assert sample.rles == expected.rles


@pytest.mark.parametrize("name", ["coco", "yolo", "voc", "cvat", "datumaro"])
def test_boxes_survive(objects, tmp_path, name):
    data = objects(Task.DETECTION)
    folder = data.export(tmp_path / "out", name)
    same(data, load_dataset(folder))


@pytest.mark.parametrize("name", ["coco", "yolo", "cvat", "datumaro"])
def test_polygons_survive(objects, tmp_path, name):
    data = objects(Task.INSTANCE_SEGMENTATION)
    back = load_dataset(data.export(tmp_path / "out", name))
    same(data, back, tolerance=0.01)


@pytest.mark.parametrize("name", ["coco", "datumaro"])
def test_masks_survive(objects, tmp_path, name):
    data = objects(Task.INSTANCE_SEGMENTATION, rles=True)
    same(data, load_dataset(data.export(tmp_path / "out", name)))


def test_yolo_refuses_masks(objects, tmp_path):
    with pytest.raises(DataError, match=r"object 1 has a mask and no polygon.*format='coco'"):
        objects(Task.INSTANCE_SEGMENTATION, rles=True).export(tmp_path / "out", "yolo")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("name", ["coco", "yolo", "datumaro"])
def test_keypoints_survive(objects, tmp_path, name):
    data = objects(Task.KEYPOINT_DETECTION, keypoints=True)
    back = load_dataset(data.export(tmp_path / "out", name))
    same(data, back)
    assert back.keypoint_names == data.keypoint_names


def test_oriented_boxes_survive_in_yolo(objects, tmp_path):
    data = objects(Task.ORIENTED_DETECTION)
    same(data, load_dataset(data.export(tmp_path / "out", "yolo")), tolerance=0.01)


def test_coco_is_read_by_pycocotools(objects, tmp_path):
    data = objects(Task.INSTANCE_SEGMENTATION, rles=True)
    folder = data.export(tmp_path / "out", "coco")
    reference = COCO(str(folder / "annotations" / "instances_train.json"))
    assert sorted(reference.getImgIds()) == [5, 6]
    found = reference.loadAnns(reference.getAnnIds(imgIds=[5]))
    assert [a["bbox"] for a in found] == [[4, 2, 16, 14], [6, 5, 6, 4]]
    assert reference.annToMask(found[1]).sum() == 24


@pytest.mark.parametrize("save_media", [False, True])
def test_media(objects, tmp_path, save_media):
    data = objects(Task.DETECTION)
    folder = data.export(tmp_path / "out", "coco", save_media=save_media)
    images = sorted((folder / "images").rglob("*.jpg"))
    assert len(images) == 3  # all three files have the same name
    assert all(image.is_symlink() is not save_media for image in images)
    if save_media:
        shutil.rmtree(tmp_path / "source")
        assert len(load_dataset(folder)) == 3


@pytest.mark.parametrize("name", ["image_folder", "coco", "datumaro"])
def test_labels_of_images_survive(class_folders, tmp_path, name):
    data = load_dataset(class_folders).with_splits()
    back = load_dataset(data.export(tmp_path / "out", name))
    assert back.task is Task.CLASSIFICATION
    assert back.subsets == data.subsets
    assert back.class_counts() == data.class_counts()
    labels = {Path(path).stat().st_ino: label for path, label in zip(back.paths, back.image_labels, strict=True)}
    assert [labels[Path(path).stat().st_ino] for path in data.paths] == data.image_labels.tolist()


def test_existing_folder_and_unknown_format(objects, tmp_path):
    data = objects(Task.DETECTION)
    (tmp_path / "out").mkdir()
    data.export(tmp_path / "out", "coco")
    with pytest.raises(DataError, match="already has something in it"):
        data.export(tmp_path / "out", "coco")
    with pytest.raises(OptionError, match=r"format='yolov5' cannot be written\. Did you mean 'yolo'"):
        data.export(tmp_path / "other", "yolov5")
    with pytest.raises(DataError, match="needs one label for each image"):
        data.export(tmp_path / "other", "image_folder")


def prediction(path, **fields) -> Prediction:
    values = {key: np.asarray(*value) if isinstance(value, tuple) else value for key, value in fields.items()}
    return Prediction(str(path), (24, 32), **values)


class TestFromPredictions:
    def test_boxes_and_masks_keep_their_scores(self, tmp_path, make_image):
        mask = np.zeros((2, 24, 32), np.bool_)
        mask[0, 2:5, 3:9] = mask[1, 10:12, 1:3] = True
        item = prediction(
            make_image(tmp_path / "a.jpg"),
            labels=([1, 0], np.int64),
            scores=([0.9, 0.25], np.float32),
            boxes=([[3, 2, 9, 5], [1, 10, 3, 12]], np.float32),
            masks=mask,
        )
        data = Predictions([item], task=Task.INSTANCE_SEGMENTATION, label_names=["x", "y"]).to_dataset()
        assert data.subsets == {"predicted": 1}
        assert data.scores == [[pytest.approx(0.9), 0.25]]
        np.testing.assert_array_equal(run_length.decode_mask(data[0].rles[1]), mask[1])
        folder = data.export(tmp_path / "out", "coco")
        written = json.loads((folder / "annotations" / "instances_predicted.json").read_text())["annotations"]
        assert [entry["score"] for entry in written] == [pytest.approx(0.9), 0.25]
        back = load_dataset(folder)
        assert back.scores == data.scores
        assert back[0].rles == data[0].rles
        assert back[0].area.tolist() == [18, 4]

    def test_classification(self, class_folders, tmp_path):
        paths = load_dataset(class_folders).paths[:2]
        items = [prediction(path, labels=([1], np.int64), scores=([0.5], np.float32)) for path in paths]
        data = dataset_from_predictions(Predictions(items, task=Task.CLASSIFICATION, label_names=["x", "y"]))
        assert data.image_labels.tolist() == [1, 1]
        assert data.scores == [[0.5], [0.5]]
        assert (data.export(tmp_path / "out", "image_folder") / "predicted" / "y").is_dir()

    def test_class_map_and_anomaly(self, tmp_path, make_image):
        path = make_image(tmp_path / "a.jpg")
        classes = np.zeros((24, 32), np.int64)
        classes[:3] = 2
        item = prediction(path, class_map=classes)
        data = dataset_from_predictions(
            Predictions([item], task=Task.SEMANTIC_SEGMENTATION, label_names=["b", "c", "d"])
        )
        assert data[0].box_labels.tolist() == [0, 2]
        np.testing.assert_array_equal(run_length.decode_mask(data[0].rles[1]), classes == 2)
        item = prediction(path, anomaly_score=0.5, anomaly_mask=classes == 2)
        data = dataset_from_predictions(Predictions([item], task=Task.ANOMALY, label_names=["good"]))
        assert (data[0].anomalous, data.label_names, data[0].box_labels.tolist()) == (True, ("good", "anomalous"), [1])

    def test_keypoints_and_corners(self, tmp_path, make_image):
        path = make_image(tmp_path / "a.jpg")
        points = np.array([[[1, 2, 0.9], [3, 4, 0.1], [0, 0, 0]]], np.float32)
        item = prediction(path, labels=([0], np.int64), scores=([1], np.float32), keypoints=points)
        data = dataset_from_predictions(Predictions([item], task=Task.KEYPOINT_DETECTION, label_names=["x"]))
        assert data[0].keypoints[0, :, 2].tolist() == [2, 1, 0]
        corners = np.array(CORNERS, np.float32).reshape(1, 4, 2)
        item = prediction(path, labels=([0], np.int64), scores=([1], np.float32), corners=corners)
        data = dataset_from_predictions(Predictions([item], task=Task.ORIENTED_DETECTION, label_names=["x"]))
        assert data[0].boxes.tolist() == [[4, 2, 20, 16]]
        assert data[0].polygons[0][0].tolist() == corners[0].tolist()

    def test_images_without_a_file_are_refused(self):
        item = prediction("", labels=([0], np.int64))
        with pytest.raises(
            DataError, match="The image of prediction 0 cannot be referred to: it was given as an array"
        ):
            dataset_from_predictions(Predictions([item], task=Task.CLASSIFICATION, label_names=["x"]))


class TestDatumaro:
    def test_dataset_in_memory(self, tmp_path, make_image):
        import datumaro as dm

        items = [
            dm.DatasetItem(
                str(index),
                subset=("train", "validation")[index % 2],
                media=dm.Image.from_file(path=str(make_image(tmp_path / f"{index}.png"))),
                annotations=[
                    dm.Bbox(1, 2, 10, 11, label=1, group=1),
                    dm.Polygon([1, 2, 11, 2, 11, 13], label=1, group=1),
                    dm.Bbox(3, 3, 5, 5, label=0),
                ],
            )
            for index in range(2)
        ]
        data = load_dataset(dm.Dataset.from_iterable(items, categories=["x", "y"]))
        assert (data.subsets, data.label_names) == ({"train": 1, "val": 1}, ("x", "y"))
        assert data[0].boxes.tolist() == [[1, 2, 11, 13], [3, 3, 8, 8]]
        assert len(data[0].polygons[0]) == 1
        again = load_dataset(dm.Dataset.from_iterable(items, categories=["x", "y"]))
        assert again.fingerprint == data.fingerprint

    def test_labels_in_memory_as_anomalies(self, tmp_path, make_image):
        import datumaro as dm

        items = [
            dm.DatasetItem(
                str(index),
                media=dm.Image.from_file(path=str(make_image(tmp_path / f"{index}.png"))),
                annotations=[dm.Label(index % 2)],
            )
            for index in range(4)
        ]
        source = dm.Dataset.from_iterable(items, categories=["fine", "bad"])
        assert load_dataset(source).task is Task.CLASSIFICATION
        assert load_dataset(source, normal="fine").anomalous.tolist() == [0, 1, 0, 1]

    def test_images_in_memory_are_refused(self):
        import datumaro as dm

        item = dm.DatasetItem("a", media=dm.Image.from_numpy(np.zeros((4, 4, 3), np.uint8)), annotations=[dm.Label(0)])
        with pytest.raises(DataError, match="None of the 1 items of the Datumaro data set has an image file"):
            load_dataset(dm.Dataset.from_iterable([item], categories=["x"]))

    def test_zip_of_cvat(self, objects, tmp_path):
        data = objects(Task.DETECTION)
        folder = data.export(tmp_path / "cvat", "cvat", save_media=True)
        archive = shutil.make_archive(str(tmp_path / "export"), "zip", folder)
        back = load_dataset(archive)
        assert back.format == "cvat"
        assert back.subsets == data.subsets
        assert load_dataset(archive, "cvat").class_counts() == data.class_counts()


def test_an_object_in_parts_keeps_them_in_yolo(tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    Image.fromarray(np.zeros((60, 100, 3), np.uint8)).save(tmp_path / "coco" / "a.png")
    parts = [[5, 5, 25, 5, 25, 25, 5, 25], [60, 30, 90, 30, 90, 50, 60, 50], [40, 2, 50, 2, 50, 12]]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": parts, "iscrowd": 0}
    image = {"id": 1, "file_name": "a.png", "height": 60, "width": 100}
    content = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "coco" / "instances_train.json").write_text(json.dumps(content))
    data = load_dataset(tmp_path / "coco", task="instance_segmentation")
    back = load_dataset(data.export(tmp_path / "out", "yolo"))
    assert len(back[0].boxes) == 1
    before, after = object_mask(data[0], 0), object_mask(back[0], 0)
    assert (before & after).sum() / (before | after).sum() > 0.97
