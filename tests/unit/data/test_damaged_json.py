"""Whatever stands in the files of LabelMe, Label Studio, VIA and DOTA: data, or an error of drivetrain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import published_maps as maps
import published_sets as sets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivetrain import load_dataset
from drivetrain.errors import DataFormatError, DrivetrainError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(source: Path, format: str) -> None:  # noqa: A002
    said = ""
    try:
        load_dataset(source, format=format, cache=False)
    except DrivetrainError as error:
        said = str(error)
    assert "annotations are damaged: " not in said  # the last net under the readers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.slow
@FUZZ
@given(key=st.sampled_from(["label", "points", "shape_type", "group_id"]), value=JSON)
def test_a_shape_of_labelme(key: str, value: Any, place: Path) -> None:
    root = place / "labelme"
    sets.labelme_json(root)
    document = json.loads((root / "a.json").read_text())
    document["shapes"][0][key] = value
    sets.put(root / "a.json", document)
    outcome(root, "labelme")


@pytest.mark.slow
@FUZZ
@given(key=st.sampled_from(["shape_attributes", "region_attributes"]), inner=st.booleans(), value=JSON)
def test_a_region_of_via(key: str, inner: bool, value: Any, place: Path) -> None:
    root = place / "via"
    sets.via(root)
    file = root / "via_region_data.json"
    document = json.loads(file.read_text())
    region = next(iter(document.values()))["regions"][0]
    region[key] = dict(region[key], x=value, **{"class": value}) if inner else value
    sets.put(file, document)
    outcome(root, "via")


@pytest.mark.slow
@FUZZ
@given(key=st.sampled_from(["type", "original_width", "value", "x", "rotation", "rectanglelabels"]), value=JSON)
def test_a_result_of_label_studio(key: str, value: Any, place: Path) -> None:
    root = place / "label_studio"
    sets.label_studio(root)
    file = next(root.glob("*.json"))
    tasks = json.loads(file.read_text())
    result = tasks[0]["annotations"][0]["result"][0]
    (result if key in result else result["value"])[key] = value
    sets.put(file, tasks)
    outcome(root, "label_studio")


@pytest.mark.slow
@FUZZ
@given(line=st.text(alphabet="0123456789.-+e nainf#\t", max_size=60))
def test_a_line_of_dota(line: str, place: Path) -> None:
    root = place / "dota"
    maps.dota(root)
    sets.put(root / "train" / "labelTxt" / "P0001.txt", line)
    outcome(root, "dota")


def test_a_fault_is_an_error_under_strict(tmp_path: Path) -> None:
    sets.labelme_json(tmp_path)
    document = json.loads((tmp_path / "a.json").read_text())
    document["shapes"][0]["points"] = [[1, float("nan")]]
    sets.put(tmp_path / "a.json", document)
    assert any("not pairs of finite numbers" in note for note in load_dataset(tmp_path).notes)
    with pytest.raises(DataFormatError, match=r"strict=True: .*a\.json, shape 0"):
        load_dataset(tmp_path, strict=True)
