# ruff: noqa: TID253 - tests use the frameworks outright
"""Predictions written: JSON, tables, annotations, pictures; of files, frames and arrays."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from drivetrain.data import load_dataset
from drivetrain.data.save_predictions import HOLDS, check_output
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError
from drivetrain.types import Prediction, Predictions, Sample, Task
from drivetrain.types.truth import Truth

SIZE = (24, 32)
NAMES = ("nut", "bolt")
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def boxed(path: str = "", count: int = 2, **more: Any) -> Prediction:
    boxes = np.array([[1, 2, 9, 12], [10.5, 3, 30, 20]], np.float32)[:count]
    labels, scores = np.array([1, 0])[:count], np.array([0.9, 0.25], np.float32)[:count]
    return Prediction(path, SIZE, labels=labels, scores=scores, boxes=boxes, **more)


def series(*items: Prediction, task: Task = Task.DETECTION, **more: Any) -> Predictions:
    return Predictions(items, task=task, label_names=NAMES, **more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two images, one of them in a folder below."""
    paths = [tmp_path / "a.png", tmp_path / "below" / "b.png"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for level in (40, 200):
        writer.write(np.full((*SIZE, 3), level, np.uint8))
    writer.release()
    return path


# --- one file


def test_a_coco_file_opens_in_pycocotools_whatever_the_images_are(files: list[str], video: str, tmp_path: Path) -> None:
    answers = series(boxed(files[0]), boxed(files[1], 0), boxed(f"{video}#1"), boxed(image=PIXELS), boxed())
    out = answers.save(tmp_path / "out.json", "coco")
    coco = COCO(str(out))
    names = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert names == ["a.png", "below/b.png", "clip.avi#1", "#3", "#4"]
    assert {(image["height"], image["width"]) for image in coco.loadImgs(coco.getImgIds())} == {SIZE}
    (first, second) = coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    assert coco.loadCats([first["category_id"]])[0]["name"] == "bolt"
    assert first["score"] == pytest.approx(0.9)
    assert second["bbox"] == [10.5, 3, 19.5, 17]
    assert coco.getAnnIds(imgIds=[1]) == []
    assert "predictions" in coco.dataset["info"]["description"]


def test_a_coco_file_is_evaluated_by_pycocotools_and_read_back(files: list[str], tmp_path: Path) -> None:
    truth = series(boxed(files[0]), boxed(files[1])).save(tmp_path / "truth.json", "coco")
    answers = series(boxed(files[0]), boxed(files[1], 1)).save(tmp_path / "answers.json", "coco")
    coco = COCO(str(truth))
    found = coco.loadRes(COCO(str(answers)).dataset["annotations"])
    evaluation = COCOeval(coco, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[1] == pytest.approx(0.75, abs=0.01)  # of nut one in two, of bolt both
    back = load_dataset(answers)
    assert list(back.paths) == files
    assert back.scores is not None
    assert back.scores[0] == [pytest.approx(0.9), 0.25]


def test_masks_class_maps_and_anomalies_as_coco(files: list[str], tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.bool_)
    mask[4:9, 10:20] = True
    items = {
        Task.INSTANCE_SEGMENTATION: [boxed(files[0], 1, masks=mask[None])],
        Task.SEMANTIC_SEGMENTATION: [Prediction(files[0], SIZE, class_map=mask.astype(np.int64))],
        Task.ANOMALY: [
            Prediction(files[0], SIZE, anomaly_score=0.875, anomaly_map=mask * 0.9, anomaly_mask=mask),
            Prediction(files[1], SIZE, anomaly_score=0.25, anomaly_map=mask * 0.6, anomaly_mask=mask),
            Prediction("", SIZE, anomaly_score=0.625),
        ],
    }
    for task, answers in items.items():
        out = series(*answers, task=task).save(tmp_path / f"{task.value}.json", "coco")
        coco = COCO(str(out))
        *_, last = annotations = coco.loadAnns(coco.getAnnIds(imgIds=[0]))
        np.testing.assert_array_equal(coco.annToMask(last), mask)
        if task is Task.ANOMALY:
            assert [entry["score"] for entry in annotations] == [0.875]
            assert coco.getAnnIds(imgIds=[1]) == [], "no outline on what is called normal"
            (whole,) = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
            assert (whole["score"], "bbox" in whole) == (0.625, False)


def test_images_keep_the_ids_of_the_data_they_come_from(files: list[str], tmp_path: Path) -> None:
    samples = [Sample(path, SIZE, image_id=70 + number) for number, path in enumerate(files)]
    answers = series(boxed(files[1]), boxed(files[0]), truth=Truth(samples, files, NAMES))
    coco = COCO(str(answers.save(tmp_path / "out.json", "coco")))
    assert coco.getImgIds() == [71, 70]
    both = series(boxed(files[1]), boxed(""), truth=Truth(samples, files, NAMES)).save(tmp_path / "b.json", "coco")
    assert COCO(str(both)).getImgIds() == [0, 1]


def test_json_by_its_suffix_with_the_truth(files: list[str], tmp_path: Path) -> None:
    truth = Truth([Sample(files[0], SIZE, labels=np.array([0]))], files[:1], NAMES)
    item = Prediction(files[0], SIZE, labels=np.array([1]), scores=np.array([0.5], np.float32))
    answers = series(item, task=Task.CLASSIFICATION, truth=truth)
    plain = json.loads(answers.save(tmp_path / "new" / "out.json").read_text())
    assert plain == answers.to_dict()
    assert plain["predictions"][0]["truth"] == {"names": ["nut"]}


def test_a_table_has_a_row_for_each_object_and_is_read_back(files: list[str], tmp_path: Path) -> None:
    sample = Sample(files[0], SIZE, boxes=np.zeros((3, 4), np.float32), box_labels=np.array([0, 0, 1]))
    answers = series(boxed(files[0]), boxed(files[1], 0), truth=Truth([sample], files[:1], NAMES))
    rows = rows_of(answers.save(tmp_path / "out.csv"))
    assert rows[0] == {
        "path": files[0],
        "width": "32",
        "height": "24",
        "label": "bolt",
        "score": "0.9",
        "xmin": "1",
        "ymin": "2",
        "xmax": "9",
        "ymax": "12",
        "truth": "2 nut, 1 bolt",
    }
    assert [row["label"] for row in rows] == ["bolt", "nut", ""]
    assert (rows[2]["xmin"], rows[2]["truth"]) == ("", "")
    back = load_dataset(tmp_path / "out.csv", format="csv")
    assert list(back.object_counts) == [2, 0]
    np.testing.assert_array_equal(back[0].boxes, answers[0].boxes)


def test_a_table_of_whole_images(files: list[str], tmp_path: Path) -> None:
    several = Prediction("", SIZE, labels=np.array([0, 1]), scores=np.array([0.75, 0.5], np.float32))
    none = Prediction("", SIZE, labels=np.zeros(0, np.int64), scores=np.zeros(0, np.float32))
    rows = rows_of(series(several, none, task=Task.MULTILABEL_CLASSIFICATION).save(tmp_path / "m.csv"))
    assert [(row["path"], row["label"], row["score"]) for row in rows] == [
        ("#0", "nut|bolt", "0.75|0.5"),
        ("#1", "", ""),
    ]
    sample = Sample(files[0], SIZE, anomalous=True, labels=np.array([1]))
    odd = Prediction(files[0], SIZE, anomaly_score=0.25, explanation="all, is well")
    rows = rows_of(
        series(odd, task=Task.ANOMALY, truth=Truth([sample], files[:1], NAMES)).save(tmp_path / "a.csv", "csv")
    )
    assert [rows[0][name] for name in ("label", "score", "explanation", "truth", "defect")] == [
        *("normal", "0.25", "all, is well", "anomalous", "bolt")
    ]
    classes = Prediction("", SIZE, class_map=np.tile([0, 1, 1, 1], (24, 8)))
    rows = rows_of(series(classes, task=Task.SEMANTIC_SEGMENTATION).save(tmp_path / "s.csv"))
    assert [(row["label"], row["share"]) for row in rows] == [("bolt", "0.75"), ("nut", "0.25")]


def test_a_table_gives_every_object_a_box(tmp_path: Path) -> None:
    corners = np.array([[[5, 0], [9, 4], [5, 8], [1, 4]]], np.float32)
    points = np.array([[[2, 3, 1], [7, 5, 0.5]]], np.float32)
    mask = np.zeros((1, *SIZE), np.bool_)
    mask[0, 4:9, 10:20] = True
    expected = {"corners": "1 0 9 8", "keypoints": "2 3 7 5", "masks": "10 4 20 9"}
    tasks = {
        "corners": Task.ORIENTED_DETECTION,
        "keypoints": Task.KEYPOINT_DETECTION,
        "masks": Task.INSTANCE_SEGMENTATION,
    }
    for (name, box), value in zip(expected.items(), (corners, points, mask), strict=True):
        item = Prediction("", SIZE, labels=np.array([0]), **{name: value})
        (row,) = rows_of(series(item, task=tasks[name]).save(tmp_path / f"{name}.csv"))
        assert " ".join(row[side] for side in ("xmin", "ymin", "xmax", "ymax")) == box
        if name == "corners":
            assert [row[side] for side in ("x1", "y1", "x4", "y4")] == ["5", "0", "1", "4"]


# --- folders


@pytest.mark.parametrize("format", ["coco", "yolo", "voc", "cvat", "datumaro"])
def test_folders_hold_the_images_of_frames_and_arrays_too(
    format: str,  # noqa: A002
    files: list[str],
    video: str,
    tmp_path: Path,
) -> None:
    answers = series(boxed(files[0]), boxed(f"{video}#1"), boxed(image=PIXELS))
    folder = answers.save(tmp_path / "out", format)
    back = load_dataset(folder, task="detection")
    if format == "yolo":  # data.yaml names the folder twice, for Ultralytics asks for train and val
        back = back.subset("train")
    assert sorted(Path(path).name for path in back.paths) == ["a.png", "clip.avi_1.png", "image_000002.png"]
    assert list(back.object_counts) == [2, 2, 2]
    frame = next(path for path in back.paths if "clip" in path)
    np.testing.assert_allclose(np.asarray(Image.open(frame)), 200, atol=4)
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_folders_link_to_files_unless_they_are_to_be_copied(files: list[str], tmp_path: Path) -> None:
    answers = series(*[boxed(path) for path in files])
    assert [p.is_symlink() for p in (answers.save(tmp_path / "l", "coco") / "images").rglob("*.png")] == [True, True]
    copied = answers.save(tmp_path / "c", "coco", save_media=True)
    assert [p.is_symlink() for p in (copied / "images").rglob("*.png")] == [False, False]


def test_class_folders(files: list[str], tmp_path: Path) -> None:
    item = Prediction(files[0], SIZE, labels=np.array([1]), scores=np.array([0.9], np.float32))
    folder = series(item, task=Task.CLASSIFICATION).save(tmp_path / "out", "image_folder")
    assert [path.name for path in (folder / "predicted" / "bolt").iterdir()] == ["a.png"]


def test_pictures_are_what_a_folder_takes_without_a_format(files: list[str], tmp_path: Path) -> None:
    series(boxed(files[0]), boxed(image=PIXELS)).save(tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").rglob("*.jpg")) == ["000001.jpg", "a.jpg"]


# --- refusals


def test_an_array_that_was_not_kept_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was not kept, so it cannot be written"):
        series(boxed()).save(tmp_path / "out", "yolo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "format", "task", "error", "said"),
    [
        ("out.json", "cocoo", Task.DETECTION, OptionError, r"format='cocoo' is not a format.*Did you mean 'coco'"),
        ("out.xyz", None, Task.DETECTION, OptionError, r"path='out\.xyz' does not imply a format; give format"),
        ("out.txt", "csv", Task.DETECTION, OptionError, r"whose name must end in \.csv"),
        ("out", "json", Task.DETECTION, OptionError, r"whose name must end in \.json"),
        ("out", "yolo", Task.ANOMALY, UnsupportedOptionError, "cannot store predictions of anomaly"),
        ("o.csv", None, Task.DEPTH, UnsupportedOptionError, "Use 'json', 'images'"),
        ("full", "coco", Task.DETECTION, DataError, "already has something in it"),
        ("full/a.txt", "coco", Task.DETECTION, DataError, "is a file, but format='coco' is written to a folder"),
        ("dir.json", "json", Task.DETECTION, DataError, "is a folder, but"),
    ],
)
def test_what_cannot_be_written_is_refused(
    path: str,
    format: str | None,  # noqa: A002
    task: Task,
    error: type[Exception],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("full", "dir.json"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "a.txt").write_text("x")
    with pytest.raises(error, match=said):
        check_output(path, format, task)
    with pytest.raises(error, match=said):
        series(task=task).save(path, format)


def test_messages_name_the_options_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"output='x\.abc' does not imply a format; give output_format"):
        check_output("x.abc", None, None, name="output")
    with pytest.raises(OptionError, match=r"save_media=True: output_format='csv' at output='x\.csv' has no place"):
        check_output("x.csv", None, None, name="output", save_media=True)


def test_an_image_is_never_replaced(files: list[str], tmp_path: Path) -> None:
    named = tmp_path / "image.json"
    Path(files[0]).rename(named)
    with pytest.raises(DataError, match="would replace an image"):
        series(boxed(str(named))).save(named)


def test_every_task_has_a_format_and_every_format_a_task() -> None:
    assert set().union(*HOLDS.values()) == set(Task)
    assert all(HOLDS.values())
