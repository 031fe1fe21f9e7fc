"""COCO read as columns: the same data, notes and task as entry by entry; and what is not read so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.damage import Damage
from drivetrain.data.readers import coco
from drivetrain.data.readers.coco_columns import read_columns
from drivetrain.errors import DataFormatError
from drivetrain.images.rle import counts_of, encode_mask
from drivetrain.types import Task

Document = dict[str, Any]
HEIGHT, WIDTH = 24, 32


def write(root: Path, document: Document, name: str = "instances_train.json") -> Path:
    """The document with its pictures; those that are there already stay."""
    root.mkdir(parents=True, exist_ok=True)
    for image in document["images"]:
        if not (root / image["file_name"]).exists():
            pixels = np.full((HEIGHT, WIDTH, 3), image["id"] % 251, np.uint8)
            Image.fromarray(pixels).save(root / image["file_name"])
    (root / name).write_text(json.dumps(document))
    return root


def both(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Dataset, Dataset]:
    """As columns, and entry by entry."""
    assert all(read_columns(file, Damage()) is not None for file in root.glob("*.json"))
    quick = load_dataset(root, cache=False)
    with monkeypatch.context() as patch:
        patch.setattr(coco, "all_columns", lambda files, damage: None)
        return quick, load_dataset(root, cache=False)


def assert_same(quick: Dataset, slow: Dataset) -> None:
    assert quick.facts == slow.facts
    assert quick.table.schema == slow.table.schema
    for name in quick.table.column_names:
        one, other = quick.table.column(name).to_pylist(), slow.table.column(name).to_pylist()
        if name == "area":
            for mine, theirs in zip(one, other, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-6)
        else:
            assert one == other, name


def mask(random: np.random.Generator) -> np.ndarray:
    found = np.zeros((HEIGHT, WIDTH), np.bool_)
    top, left = random.integers(0, 12, 2)
    found[top : top + 5, left : left + 7] = True
    return found


def made(seed: int, images: int = 6) -> Document:
    """A document with everything that real ones have, in random order."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for number in range(5 * images):
        x, y, w, h = random.integers(0, 30, 4).astype(float).tolist()
        entry: dict[str, Any] = {
            "id": number + 1,
            "image_id": int(random.integers(images - 1)) + 10,  # the last image shows nothing
            "category_id": int(random.choice([1, 3])),
            "bbox": [x + 0.25, y, w, h],
            "iscrowd": int(random.random() < 0.2),
        }
        kind = random.integers(5)
        if kind == 0:
            entry["segmentation"] = encode_mask(mask(random))
        elif kind == 1:
            run_lengths = list(counts_of(encode_mask(mask(random))))
            entry["segmentation"] = {"counts": run_lengths, "size": [HEIGHT, WIDTH]}
        elif kind == 2:
            entry["segmentation"] = [[x, y, x + 5, y, x + 5, y + 4], [1, 1, 9, 1, 9, 7.5, 1, 9]]
        elif kind == 3:
            entry["segmentation"] = []
        if kind < 3 and random.random() < 0.3:
            del entry["bbox"]
        if random.random() < 0.7:
            entry["area"] = float(random.integers(1, 99))
        if random.random() < 0.3:
            entry["score"] = float(random.random())
        annotations.append(entry)
    listed = [{"id": 10 + n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(images)]
    categories = [{"id": 3, "name": "bolt"}, {"id": 1, "name": "nut", "supercategory": "part"}]
    return {"info": {"year": 2020}, "images": listed, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("seed", range(6))
def test_a_document_is_read_as_entry_by_entry(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(*both(write(tmp_path, made(seed)), monkeypatch))


def test_several_documents_missing_and_broken_images_and_orphans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = made(1), made(2)
    for image in second["images"]:
        image["file_name"] = "v" + image["file_name"]
    first["annotations"].append({"id": 900, "image_id": 77, "category_id": 1, "bbox": [0, 0, 5, 5]})
    root = write(write(tmp_path, first), second, "instances_val.json")
    (root / "v2.png").unlink()
    (root / "3.png").write_bytes(b"no image")
    quick, slow = both(root, monkeypatch)
    assert_same(quick, slow)
    assert quick.subsets == {"train": 5, "val": 5}
    assert any("1 annotations of instances_train.json are about images that it does not list" in n for n in quick.notes)


def test_keypoints_named_and_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made(3)
    for entry in document["annotations"][::2]:
        entry["keypoints"] = [1, 2, 2, 5, 6.5, 1]
    quick, slow = both(write(tmp_path, document), monkeypatch)
    assert_same(quick, slow)
    assert (quick.task, quick.keypoint_names) == (Task.KEYPOINT_DETECTION, ("point_0", "point_1"))
    document["categories"][0]["keypoints"] = ["head", "tip"]
    quick, slow = both(write(tmp_path, document), monkeypatch)
    assert_same(quick, slow)
    assert quick.keypoint_names == ("head", "tip")


def test_images_stored_on_the_side_are_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, made(4))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "1.png", exif=exif)
    quick, slow = both(root, monkeypatch)
    assert_same(quick, slow)
    assert quick[1].size == (WIDTH, HEIGHT)
    assert any("annotated that way" in note for note in quick.notes)


def test_outlines_that_are_boxes_are_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made(5)
    for entry in document["annotations"]:
        entry["bbox"] = [2, 3, 8, 9]
        entry["segmentation"] = [[2, 3, 10, 3, 10, 12, 2, 12]]
    quick, slow = both(write(tmp_path, document), monkeypatch)
    assert_same(quick, slow)
    assert quick.task is Task.DETECTION


MENDED: dict[str, Callable[[Document], Any]] = {
    "an infinite box": lambda d: d["annotations"][0].update(bbox=[1, 2, float("inf"), 4]),
    "an odd ring": lambda d: d["annotations"][0].update(segmentation=[[1, 1, 9, 1, 9, 9, 4]]),
    "three numbers as a box": lambda d: d["annotations"][0].update(bbox=[1, 2, 3]),
    "a negative box": lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]),
    "nothing in a box": lambda d: d["annotations"][0].update(bbox=[1, 2, None, 4]),
    "an id twice": lambda d: d["annotations"][0].update(id=2),
    "neither box nor outline": lambda d: d["annotations"].append({"id": 99, "image_id": 10, "category_id": 1}),
    "a box that is none beside an outline": lambda d: d["annotations"][1].update(
        bbox=[9], segmentation=[[1, 1, 9, 1, 9, 9]]
    ),
    "a damaged annotation of no image": lambda d: d["annotations"].append(
        {"id": 98, "image_id": 777, "category_id": 1, "bbox": [1]}
    ),
    "two faults": lambda d: [d["annotations"][n].update(bbox=[1, 2, -3, 4], id=5) for n in (0, 2)],
}


@pytest.mark.parametrize("fault", MENDED)
def test_a_fault_is_mended_in_the_columns(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made(0)
    MENDED[fault](document)
    quick, slow = both(write(tmp_path, document), monkeypatch)
    assert_same(quick, slow)
    assert any(note[0].isdecimal() and "annotations" in note for note in quick.notes), quick.notes
    faults = []
    for patched in (False, True):
        with monkeypatch.context() as patch:
            if patched:
                patch.setattr(coco, "all_columns", lambda files, damage: None)
            try:
                load_dataset(tmp_path, cache=False, strict=True)
            except DataFormatError as error:
                faults.append(str(error))
    assert len(set(faults)) <= 1
    assert len(faults) in (0, 2)


FAULTS: dict[str, Callable[[Document], Any]] = {
    "a flat polygon": lambda d: d["annotations"][0].update(segmentation=[1, 1, 9, 1, 9, 9]),
    "text in a box": lambda d: d["annotations"][0].update(bbox=[1, 2, "3", 4]),
    "no category": lambda d: d["annotations"][0].update(category_id=None),
    "no annotation": lambda d: d["annotations"].insert(0, None),
    "an image id as text": lambda d: d["images"][0].update(id="10"),
    "a mask of another size": lambda d: d["annotations"][0].update(segmentation={"size": [2, 2], "counts": [1, 3]}),
    "a name that is a number": lambda d: d["categories"][0].update(name=7),
    "keypoints of two lengths": lambda d: [d["annotations"][n].update(keypoints=[1, 1, 2] * (n + 1)) for n in (0, 1)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_plain_is_looked_at_entry_by_entry(fault: str, tmp_path: Path) -> None:
    document = made(0)
    FAULTS[fault](document)
    assert read_columns(write(tmp_path, made(0)) / "instances_train.json", Damage()) is not None
    assert read_columns(write(tmp_path, document) / "instances_train.json", Damage()) is None


def test_an_unknown_category_is_refused_by_its_number(tmp_path: Path) -> None:
    document = made(0)
    document["annotations"][0]["category_id"] = 8
    with pytest.raises(DataFormatError, match="category id 8"):
        load_dataset(write(tmp_path, document), "coco")


def test_words_within_names_are_not_taken_for_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made(0)
    document["categories"][0]["name"] = '"segmentation": {"counts": ['
    quick, slow = both(write(tmp_path, document), monkeypatch)
    assert_same(quick, slow)
    assert quick.label_names[1] == '"segmentation": {"counts": ['
