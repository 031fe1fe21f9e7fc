"""Damaged annotations: repaired, left out with a count, or refused; never a bare error of Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.errors import DataFormatError, DrivetrainError
from drivetrain.types import Task

WHOLE = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 8], "area": 80, "iscrowd": 0}
TRIANGLE = [2, 3, 12, 3, 12, 11]


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        pixels = np.random.default_rng(index).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def document(*annotations: Any, **more: Any) -> dict[str, Any]:
    image = {"id": 1, "file_name": "a.png", "height": 30, "width": 40}
    return {
        "images": [image],
        "annotations": list(annotations),
        "categories": [{"id": 1, "name": "cat"}],
        **more,
    }


def coco(folder: Path, content: Any, *, strict: bool = False) -> Dataset:
    pictures(folder, "a.png")
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "instances_train.json").write_bytes(text)
    return load_dataset(folder, format="coco", strict=strict)


@pytest.mark.parametrize(
    ("change", "said", "objects"),
    [
        ({"bbox": [2, 3, math.inf, 8]}, "not four finite numbers", 1),
        ({"bbox": [2, 3, -10, 8]}, "negative width or height", 1),
        ({"bbox": [2, 3, 10]}, "not four finite numbers", 1),
        ({"bbox": "2 3 10 8"}, "not four finite numbers", 1),
        ({"bbox": [2, 3, 10, "x"]}, "not four finite numbers", 1),
        ({"bbox": {"x": 1}}, "not four finite numbers", 1),
        ({"segmentation": TRIANGLE}, "read as one polygon", 2),
        ({"segmentation": [TRIANGLE[:5]]}, "odd number of values", 2),
        ({"segmentation": [["x", *TRIANGLE[1:]]]}, "not a list of finite numbers", 2),
        ({"segmentation": "no outline"}, "neither a list nor a mask", 2),
        ({"segmentation": {"size": [30, 40]}}, "a mask that cannot be read", 2),
        ({"segmentation": {"size": [30, 40], "counts": [0, 10]}}, "do not cover its size", 2),
        ({"segmentation": {"size": [30, 40], "counts": [0, 5000]}}, "do not cover its size", 2),
        ({"segmentation": {"size": [10, 10], "counts": [0, 100]}}, "differs from their image in size", 2),
        ({"id": 1}, "have the same id as another", 2),
        ({"keypoints": "none"}, "keypoints that are not a list", 2),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_a_damaged_object_is_told_with_its_place(change: Any, said: str, objects: int, tmp_path: Path) -> None:
    content = document(WHOLE, {**WHOLE, "id": 2, **change})
    data = coco(tmp_path / "data", content)
    notes = [note for note in data.notes if said in note]
    assert len(notes) == 1, data.notes
    assert notes[0].startswith("1 annotations ")
    assert "instances_train.json" in notes[0]
    assert len(data[0].boxes) == objects
    assert np.isfinite(data[0].boxes).all()
    with pytest.raises(DataFormatError, match=r"strict=True.*instances_train\.json"):
        coco(tmp_path / "strict", content, strict=True)


@pytest.mark.parametrize(
    "content", [b"", b"<html>no such page</html>", b'{"images": [', b"[]"], ids=["empty", "html", "cut", "list"]
)
def test_a_damaged_file_does_not_take_its_subset_with_it(content: bytes, tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(document(WHOLE)))
    (tmp_path / "annotations" / "instances_val.json").write_bytes(content)
    with pytest.raises(DataFormatError, match=r"instances_val\.json"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_coco_of_any_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    content = document(WHOLE, categories=[{"id": 1, "name": "Kätzchen"}])
    data = coco(tmp_path, json.dumps(content, ensure_ascii=False).encode(encoding))
    assert data.label_names == ("Kätzchen",)
    assert load_dataset(tmp_path).label_names == ("Kätzchen",)


def test_keypoints_that_no_category_names_are_numbered(tmp_path: Path) -> None:
    data = coco(tmp_path, document({**WHOLE, "keypoints": [3, 4, 2, 8, 9, 1]}))
    assert data.task is Task.KEYPOINT_DETECTION
    assert data.keypoint_names == ("point_0", "point_1")
    assert data[0].keypoints[0].tolist() == [[3, 4, 2], [8, 9, 1]]


def yolo(folder: Path, config: bytes, **labels: bytes) -> Path:
    for subset in ("train", "val"):
        pictures(folder / "images" / subset, "a.png", "b.png")
        for stem, text in labels.items():
            (folder / "labels" / subset).mkdir(parents=True, exist_ok=True)
            (folder / "labels" / subset / f"{stem}.txt").write_bytes(text)
    (folder / "data.yaml").write_bytes(config)
    return folder


CONFIG = "train: images/train\nval: images/val\nnames: [Kätzchen, dog]\n"
LINE = b"0 0.5 0.5 0.4 0.4\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_data_yaml_of_any_encoding_names_the_classes(encoding: str, tmp_path: Path) -> None:
    data = load_dataset(yolo(tmp_path, CONFIG.encode(encoding), a=LINE, b=LINE))
    assert data.label_names == ("Kätzchen", "dog")


@pytest.mark.parametrize(
    ("val", "images", "said"),
    [
        ("images\\val", 2, None),
        ("[images/val, images/other]", 2, "val: images/other"),
        ("images/vall", 0, "val: images/vall"),
    ],
)
def test_a_slip_in_an_entry_is_mended_or_told(val: str, images: int, said: str | None, tmp_path: Path) -> None:
    config = CONFIG.replace("val: images/val", f"val: {val}")
    data = load_dataset(yolo(tmp_path, config.encode(), a=LINE, b=LINE))
    assert data.subsets.get("val", 0) == images
    assert [said in note for note in data.notes if "do not exist" in note] == ([True] if said else [])


def test_labels_find_images_that_are_spelt_otherwise(tmp_path: Path) -> None:
    root = yolo(tmp_path, CONFIG.encode(), A=LINE, **{"b%20c": LINE, "nobody": LINE})
    pictures(root / "images" / "train", "b c.png")
    data = load_dataset(root)
    assert sum(len(sample.boxes) for sample in data) == 3
    assert any("3 label files are spelt differently" in note for note in data.notes), data.notes
    assert any("have no image" in note and "nobody.txt" in note for note in data.notes)
    with pytest.raises(DataFormatError, match="strict=True"):
        load_dataset(root, strict=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(source: Path, format: str) -> None:  # noqa: A002
    """The data are read with finite boxes, or refused by an error of drivetrain."""
    try:
        data = load_dataset(source, format=format)
    except DrivetrainError:
        return
    for sample in data:
        assert sample.boxes is None or np.isfinite(sample.boxes).all()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    pictures(folder, "a.png")
    return folder


@FUZZ
@given(
    field=st.sampled_from(
        ["id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "keypoints", "score"]
    ),
    value=JSON,
)
def test_whatever_stands_in_an_annotation_of_coco(field: str, value: Any, place: Path) -> None:
    (place / "fuzz.json").write_text(json.dumps(document(WHOLE, {**WHOLE, "id": 2, field: value})))
    outcome(place / "fuzz.json", "coco")


@FUZZ
@given(field=st.sampled_from(["images", "annotations", "categories"]), value=JSON | st.lists(JSON, max_size=3))
def test_whatever_stands_in_a_list_of_coco(field: str, value: Any, place: Path) -> None:
    (place / "fuzz.json").write_text(json.dumps({**document(WHOLE), field: value}))
    outcome(place / "fuzz.json", "coco")


@FUZZ
@given(
    line=st.text(alphabet="0123456789.-+e nainf#\t", max_size=40).map(str.encode) | st.binary(max_size=30),
)
def test_whatever_stands_in_a_label_file_of_yolo(line: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz-yolo"
    yolo(root, CONFIG.encode(), a=line, b=LINE)
    outcome(root, "yolo")


@FUZZ
@given(text=st.binary(max_size=60) | st.text(alphabet="train: vlnmes[]{}-\\/\n'\"&*!0,", max_size=60).map(str.encode))
def test_whatever_stands_in_a_data_yaml(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz-yaml"
    yolo(root, b"names: [a, b]\n" + text, a=LINE, b=LINE)
    outcome(root, "yolo")


@FUZZ
@given(
    text=st.binary(max_size=80) | st.text(alphabet="filename,label,xyminxa\n;\t0123.-\"'", max_size=80).map(str.encode)
)
def test_whatever_stands_in_a_table(text: bytes, place: Path) -> None:
    (place / "table.csv").write_bytes(b"filename,label,xmin,ymin,xmax,ymax\na.png,cat,1,2,10,12\n" + text)
    outcome(place / "table.csv", "csv")


@FUZZ
@given(text=st.text(alphabet="<>/objectnambx12.-&;\n ", max_size=80))
def test_whatever_stands_in_an_annotation_of_voc(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz-voc"
    pictures(root / "JPEGImages", "a.png")
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    (root / "Annotations" / "a.xml").write_text(f"<annotation><filename>a.png</filename>{text}</annotation>")
    outcome(root, "voc")
