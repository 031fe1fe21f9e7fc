"""The values that the readers of published sets give, and what they make of damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import published_defects as defects
import published_people as people
import published_sets as sets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from drivetrain import load_dataset
from drivetrain.errors import DataFormatError, DrivetrainError
from drivetrain.images.masks import object_mask, rasterise
from drivetrain.types import Task

BOXES = np.array([(x, y, x + w, y + h) for x, y, w, h in sets.BOXES])


def test_celeba_serves_several_tasks(tmp_path: Path) -> None:
    people.celeba(tmp_path)
    data = load_dataset(tmp_path)
    assert data.label_names == ("Bald", "Eyeglasses", "Smiling")
    assert data[0].labels.tolist() == [1, 2]
    assert data.subsets == {"train": 2, "val": 2, "test": 2}
    assert any("task='keypoint_detection'" in note and "task='classification'" in note for note in data.notes)
    points = load_dataset(tmp_path, task="keypoint_detection")
    assert points.keypoint_names == ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    np.testing.assert_array_equal(points[0].keypoints[0, :, :2], [[20, 10], [40, 10], [30, 20], [22, 30], [38, 30]])
    assert load_dataset(tmp_path, task="classification").class_counts() == {"1": 3, "2": 3}


def test_celeba_as_tables_with_commas(tmp_path: Path) -> None:
    for number in (1, 2):
        sets.photo(tmp_path / "img_align_celeba" / f"{number:06}.jpg")
    sets.put(
        tmp_path / "list_attr_celeba.csv", "image_id,Bald,Smiling\n000001.jpg,1,-1\n000002.jpg,1,1\n000003.jpg,1,1\n"
    )
    sets.put(tmp_path / "list_eval_partition.csv", "image_id,partition\n000001.jpg,0\n000002.jpg,2\n")
    data = load_dataset(tmp_path)
    assert [sample.labels.tolist() for sample in data] == [[0], [0, 1]]
    assert data.subsets == {"train": 1, "test": 1}
    assert any("1 of 3 rows" in note for note in data.notes)


def test_mpii_keeps_the_places_of_missing_joints(tmp_path: Path) -> None:
    people.mpii_mat(tmp_path)
    data = load_dataset(tmp_path)
    assert data.subsets == {"train": 2, "test": 1}
    assert data.keypoint_names[9] == "head_top"
    second = data[0].keypoints[1]
    assert (np.flatnonzero(second[:, 2]) == [6, 7, 8, 9]).all()
    assert second[6].tolist() == [10, 12, 1]
    assert second[7].tolist() == [11, 13, 2]
    assert data[0].boxes[1].tolist() == [4, 4, 13, 15]  # with the head
    assert len(data[2].boxes) == 0


def test_mpii_of_something_else_is_refused(tmp_path: Path) -> None:
    from scipy.io import savemat

    sets.photo(tmp_path / "a.jpg")
    (tmp_path / "mpii.mat").write_bytes(b"no file of MATLAB")
    with pytest.raises(DataFormatError, match="cannot be read as a MATLAB file"):
        load_dataset(tmp_path)
    savemat(str(tmp_path / "mpii.mat"), {"other": 1})
    with pytest.raises(DataFormatError, match="has no 'RELEASE'"):
        load_dataset(tmp_path)


def test_mots_without_names_are_cars_and_pedestrians(tmp_path: Path) -> None:
    people.mots_unnamed(tmp_path)
    data = load_dataset(tmp_path)
    assert data.label_names == ("car", "pedestrian")
    np.testing.assert_array_equal(data[0].boxes, BOXES)
    assert data[0].box_labels.tolist() == [0, 1]
    assert int(object_mask(data[0], 0).sum()) == sets.BOXES[0][2] * sets.BOXES[0][3]
    assert any(note.startswith("2 regions to ignore") for note in data.notes)


@pytest.mark.parametrize("make", [people.ade20k_2016, people.ade20k_2021])
def test_ade20k_has_its_objects(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    data = load_dataset(tmp_path)
    assert data.subsets == {"train": 1, "val": 1}
    assert [name.partition(",")[0] for name in data.label_names] == ["cat", "dog"]
    np.testing.assert_array_equal(data[0].boxes, BOXES)
    assert not data.facts.left_out
    assert any("parts of objects were left out" in note for note in data.notes)


def test_real_iad_has_its_own_division(tmp_path: Path) -> None:
    defects.real_iad(tmp_path)
    file = tmp_path / "realiad_jsons" / "realiad_jsons" / "audiojack.json"
    for source in (tmp_path, file):
        data = load_dataset(source, cache=False)
        assert (data.format, data.task, data.label_names) == ("real_iad", Task.ANOMALY, ("OK", "BX"))
        assert data.subsets == {"train": 2, "test": 4}
        assert data.anomalous.tolist() == [0, 0, 0, 0, 1, 1]
        assert rasterise(data[4]).sum() == sets.BOXES[0][2] * sets.BOXES[0][3]


def test_several_products_of_real_iad_are_named(tmp_path: Path) -> None:
    defects.real_iad(tmp_path)
    folder = tmp_path / "realiad_jsons" / "realiad_jsons"
    (folder / "toy.json").write_text((folder / "audiojack.json").read_text().replace("audiojack", "toy"))
    with pytest.raises(DataFormatError, match=r"2 products: .*audiojack\.json, .*toy\.json.*give its file"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("make", [sets.labelme_json, sets.via, sets.label_studio])
def test_a_json_file_is_read_as_what_it_is(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    file = next(iter(sorted(tmp_path.glob("*.json"))))
    assert load_dataset(file).format == load_dataset(tmp_path).format != "coco"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    people.celeba(folder / "celeba")
    people.ade20k_2016(folder / "ade2016")
    people.ade20k_2021(folder / "ade2021")
    people.mots_unnamed(folder / "mots")
    people.mpii_mat(folder / "mpii")
    defects.real_iad(folder / "real_iad")
    return folder


def outcome(source: Path, format: str, **options: Any) -> None:  # noqa: A002
    """Data with finite boxes, or an error of drivetrain that its reader foresaw."""
    said = ""
    try:
        data = load_dataset(source, format=format, cache=False, **options)
    except DrivetrainError as error:
        said = str(error)
    else:
        for sample in data:
            assert sample.boxes is None or np.isfinite(sample.boxes).all()
    assert "annotations are damaged: " not in said  # the last net under the readers


@FUZZ
@given(
    text=st.text(alphabet="000001.jpg -12\n,xe+", max_size=60),
    task=st.sampled_from([None, "keypoint_detection", "classification"]),
)
def test_whatever_stands_in_the_tables_of_celeba(text: str, task: str | None, place: Path) -> None:
    for name in ("list_attr_celeba", "list_landmarks_align_celeba", "identity_CelebA"):
        (place / "celeba" / "Anno" / f"{name}.txt").write_text(text)
    (place / "celeba" / "Eval" / "list_eval_partition.txt").write_text(text[::-1])
    outcome(place / "celeba", "celeba", task=task)


@FUZZ
@given(text=st.text(alphabet='0123 #"cat-\n', max_size=60))
def test_whatever_stands_in_the_lines_of_ade20k(text: str, place: Path) -> None:
    next((place / "ade2016").rglob("*_atr.txt")).write_text(text)
    outcome(place / "ade2016", "ade20k")


@FUZZ
@given(key=st.sampled_from(["polygon", "parts", "name", "x", "annotation", "object"]), value=JSON)
def test_whatever_stands_in_the_objects_of_ade20k(key: str, value: Any, place: Path) -> None:
    file = next((place / "ade2021" / "validation").rglob("*.json"))
    whole: dict[str, Any] = {"annotation": {"object": [{"name": "cat", "polygon": {"x": [1, 9, 9], "y": [1, 1, 9]}}]}}
    target = {"x": whole["annotation"]["object"][0]["polygon"], "annotation": whole, "object": whole["annotation"]}
    target.get(key, whole["annotation"]["object"][0])[key] = value
    file.write_text(json.dumps(whole))
    outcome(place / "ade2021", "ade20k")


@FUZZ
@given(key=st.sampled_from(["meta", "train", "anomaly_class", "image_path", "mask_path", "prefix"]), value=JSON)
def test_whatever_stands_in_the_lists_of_real_iad(key: str, value: Any, place: Path) -> None:
    file = place / "real_iad" / "realiad_jsons" / "realiad_jsons" / "audiojack.json"
    kept = file.read_text()
    document = json.loads(kept)
    target = document if key in document else document["meta"] if key == "prefix" else document["test"][-1]
    target[key] = value
    file.write_text(json.dumps(document))
    outcome(place / "real_iad", "real_iad")
    file.write_text(kept)


@FUZZ
@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=5))
def test_whatever_stands_in_a_map_of_mots(values: list[int], place: Path) -> None:
    pixels = np.resize(np.array(values, np.uint16), sets.SIZE)
    Image.fromarray(pixels).save(place / "mots" / "training" / "instances" / "0002" / "000000.png")
    outcome(place / "mots", "mots")


@FUZZ
@given(content=st.binary(max_size=60))
def test_whatever_stands_in_a_parquet_or_matlab_file(content: bytes, place: Path) -> None:
    whole = next((place / "mpii").glob("*.mat")).read_bytes()
    (place / "mat").mkdir(exist_ok=True)
    sets.photo(place / "mat" / "a.jpg")
    (place / "mat" / "mpii.mat").write_bytes(whole[:200] + content + whole[200 + len(content) :])
    outcome(place / "mat", "mpii")
    (place / "mat" / "a.parquet").write_bytes(b"PAR1" + content + b"PAR1")
    outcome(place / "mat", "parquet")


def test_a_json_of_real_iad_without_a_list_is_no_traceback(tmp_path: Path) -> None:
    defects.real_iad(tmp_path)
    file = tmp_path / "realiad_jsons" / "realiad_jsons" / "audiojack.json"
    sets.put(file, {"meta": {"normal_class": "OK"}, "note": '"image_path" "anomaly_class"', "train": 7})
    with pytest.raises(DrivetrainError):
        load_dataset(tmp_path, "real_iad")
