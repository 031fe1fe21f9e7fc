"""Parquet: what we write comes back; sets of the hub and plain tables are read."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.errors import DataError, DataFormatError, DrivetrainError
from drivetrain.images.rle import encode_mask
from drivetrain.types import Task

SIZE = (24, 32)


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)
    return path


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*SIZE, 3), seed, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def rich(tmp_path: Path) -> Dataset:
    """Boxes, an outline, a mask, scores, and an image without objects."""
    mask = np.zeros(SIZE, np.bool_)
    mask[4:9, 10:20] = True
    first = Record(str(picture(tmp_path / "in" / "a.png")), "train", SIZE, 7)
    first.boxes, first.box_labels, first.scores = [1, 2, 9, 12, 10, 4, 20, 9], [1, 0], [0.75, 0.25]
    first.polygons, first.rles = [[[1, 2, 9, 2, 9, 12]], []], [None, encode_mask(mask)]
    first.area, first.iscrowd = [40.0, 50.0], [False, True]
    second = Record(str(picture(tmp_path / "in" / "b.png", 1)), "val", SIZE, 9, boxes=[], box_labels=[])
    second.area, second.iscrowd = [], []
    return Dataset(build_table([first, second]), Facts(("nut", "bolt"), Task.INSTANCE_SEGMENTATION, format="made"))


def test_all_columns_come_back(rich: Dataset, tmp_path: Path) -> None:
    folder = rich.export(tmp_path / "out", "parquet", save_media=True)
    for source in (folder, folder / "annotations.parquet"):
        back = load_dataset(source)
        assert (back.format, back.task, back.label_names) == ("parquet", rich.task, rich.label_names)
        for name in rich.table.column_names:
            if name != "path":
                assert back.table.column(name).to_pylist() == rich.table.column(name).to_pylist(), name
        assert [Path(path).parent.name for path in back.paths] == ["train", "val"]


def test_a_folder_that_moved_is_whole(rich: Dataset, tmp_path: Path) -> None:
    folder = rich.export(tmp_path / "out", "parquet", save_media=True)
    shutil.rmtree(tmp_path / "in")
    folder.rename(tmp_path / "moved")
    back = load_dataset(tmp_path / "moved")
    assert all(path.startswith(str(tmp_path / "moved")) for path in back.paths)


def test_pictures_in_the_file_are_read(rich: Dataset, tmp_path: Path) -> None:
    folder = rich.export(tmp_path / "out", "parquet", save_media=True)
    table = pq.read_table(folder / "annotations.parquet")
    pictures = [(folder / path).read_bytes() for path in table.column("path").to_pylist()]
    (tmp_path / "alone").mkdir()
    pq.write_table(table.append_column("image", pa.array(pictures)), tmp_path / "alone" / "set.parquet")
    back = load_dataset(tmp_path / "alone")
    assert [Path(path).read_bytes() for path in back.paths] == pictures
    assert back.scores == rich.scores
    assert load_dataset(tmp_path / "alone").paths == back.paths  # from the cache


def test_defect_masks_move_with_the_file(tmp_path: Path) -> None:
    for name in ("train/good/0", "test/good/1", "test/crack/2"):
        picture(tmp_path / "in" / f"{name}.png", int(name[-1]))
    (tmp_path / "in" / "ground_truth" / "crack").mkdir(parents=True)
    pixels = np.zeros(SIZE, np.uint8)
    pixels[2:6, 2:6] = 255
    Image.fromarray(pixels).save(tmp_path / "in" / "ground_truth" / "crack" / "2_mask.png")
    data = load_dataset(tmp_path / "in")
    folder = data.export(tmp_path / "out", "parquet", save_media=True)
    shutil.rmtree(tmp_path / "in")
    back = load_dataset(folder)
    assert back.task is Task.ANOMALY
    assert back.anomalous.tolist() == data.anomalous.tolist()
    (mask,) = [path for path in back.mask_paths if path]
    np.testing.assert_array_equal(np.asarray(Image.open(mask)), pixels)


def hub(file: Path, columns: dict[str, Any], features: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    told = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(told), file)


def test_a_set_of_the_hub_is_read(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    for subset, count in (("train", 3), ("validation", 2)):
        images = [{"bytes": png(10 * count + index), "path": f"{index}.png"} for index in range(count)]
        hub(
            tmp_path / "data" / f"{subset}-00000-of-00001.parquet",
            {"image": images, "label": [index % 2 for index in range(count)]},
            features,
        )
    data = load_dataset(tmp_path)
    assert (data.format, data.task, data.label_names) == ("parquet", Task.CLASSIFICATION, ("cat", "dog"))
    assert data.subsets == {"train": 3, "val": 2}
    assert data.class_counts() == {"cat": 3, "dog": 2}


def test_objects_of_the_hub_are_read(tmp_path: Path) -> None:
    category = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "Sequence"}
    features = {"image": {"_type": "Image"}, "objects": {"bbox": {"_type": "Sequence"}, "category": category}}
    objects = [{"bbox": [[1.0, 2.0, 8.0, 10.0]], "category": [1]}, {"bbox": [], "category": []}]
    images = [{"bytes": png(1), "path": None}, {"bytes": png(2), "path": None}]
    hub(tmp_path / "train.parquet", {"image": images, "objects": objects}, features)
    data = load_dataset(tmp_path / "train.parquet")
    assert (data.task, data.label_names) == (Task.DETECTION, ("cat", "dog"))
    np.testing.assert_array_equal(data[0].boxes, [[1, 2, 9, 12]])
    assert len(data[1].boxes) == 0


@pytest.mark.parametrize("labels", [["cat", "dog", "cat"], [0, 1, 0]])
def test_a_plain_table_of_paths_is_read(labels: list[Any], tmp_path: Path) -> None:
    names = [f"pics/{index}.png" for index in range(3)]
    for index, name in enumerate(names):
        picture(tmp_path / name, index)
    pq.write_table(pa.table({"file_name": names, "label": labels}), tmp_path / "table.parquet")
    data = load_dataset(tmp_path)
    assert (data.format, data.task, len(data)) == ("parquet", Task.CLASSIFICATION, 3)
    assert sorted(data.class_counts().values()) == [1, 2]


def test_texts_beside_pictures_are_labels(tmp_path: Path) -> None:
    table = pa.table({"image": [png(1), png(2)], "label": ["b", "a"]})
    pq.write_table(table, tmp_path / "train.parquet")
    assert load_dataset(tmp_path).class_counts() == {"b": 1, "a": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"box_labels": [[5, 0], []]}, "a label is not one of the 2"),
        ({"boxes": [[1.0, 2.0, 3.0], []]}, "3 numbers of boxes for 2 objects"),
        ({"iscrowd": [[True], []]}, "'iscrowd' has 1 entries for 2 objects"),
        ({"subset": None}, "lacks the columns subset"),
    ],
)
def test_a_changed_file_is_refused(change: dict[str, Any], said: str, rich: Dataset, tmp_path: Path) -> None:
    file = rich.export(tmp_path / "out", "parquet", save_media=True) / "annotations.parquet"
    table = pq.read_table(file)
    for name, values in change.items():
        place = table.schema.get_field_index(name)
        table = table.drop_columns([name]) if values is None else table.set_column(place, name, pa.array(values))
    pq.write_table(table, file)
    with pytest.raises(DataFormatError, match=said):
        load_dataset(file, cache=False)


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "set.parquet").write_bytes(b"PAR1 no such thing")
    with pytest.raises(DrivetrainError, match="cannot be read as Parquet"):
        load_dataset(tmp_path / "set.parquet")
    with pytest.raises(DataError, match="no Parquet file with a column of images"):
        load_dataset(tmp_path, "parquet")
