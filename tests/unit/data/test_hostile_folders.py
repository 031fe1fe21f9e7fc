"""Folders as nobody would make them on purpose: read, or refused in words, and never by a bare error of Python."""

from __future__ import annotations

import json
import os
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError, DataNotFoundError

SIZE = (24, 32)


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)
    return path


def coco(root: Path, name: str, *, box: tuple[float, ...] = (1, 2, 8, 10), identity: int = 1, **image: Any) -> Path:
    """A COCO file with one object on one image."""
    root.mkdir(parents=True, exist_ok=True)
    document = {
        "images": [{"id": identity, "file_name": name, "height": SIZE[0], "width": SIZE[1], **image}],
        "annotations": [{"id": 1, "image_id": identity, "category_id": 1, "bbox": list(box), "area": 5}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (root / "instances_train.json").write_text(json.dumps(document))
    return root


@pytest.mark.parametrize("sides", [{"height": 10**30}, {"width": 1e308}, {"height": 10**18, "width": 10**18}])
def test_sizes_that_no_image_has_count_as_not_stated(sides: dict[str, Any], tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    data = load_dataset(coco(tmp_path, "a.png", **sides))
    assert data[0].size == SIZE
    assert data[0].boxes.tolist() == [[1, 2, 9, 12]]
    assert not any("state a different size" in note for note in data.notes)


def test_an_id_that_no_table_holds_is_numbered(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    data = load_dataset(coco(tmp_path, "a.png", identity=10**30))
    assert len(data[0].boxes) == 1
    assert 0 <= data[0].image_id < 2**63


def test_a_box_that_overflows_is_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    data = load_dataset(coco(tmp_path, "a.png", box=(1e308, 2, 1e308, 10)))
    assert len(data[0].boxes) == 0
    assert any("not four finite numbers" in note for note in data.notes)


@pytest.mark.parametrize("folder", [False, True])
def test_names_that_are_no_text_are_left_out_and_counted(folder: bool, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png", len(name))
    place = os.fsencode(tmp_path)
    if folder:
        os.mkdir(place + b"/\xff")  # noqa: PTH102 - a name of bytes
    os.rename(  # noqa: PTH104
        place + b"/cat/1.png", place + (b"/\xff/1.png" if folder else b"/cat/\xff.png")
    )
    picture(tmp_path / "cat" / "2.png", 9)
    data = load_dataset(tmp_path)
    assert data.class_counts() == {"cat": 1, "dog": 1}
    assert any(note.startswith("1 files have names that are not text") for note in data.notes)
    if folder:
        with pytest.raises(DataError, match="has a name that is not text"):
            load_dataset(os.fsdecode(place + b"/\xff"))


def test_a_table_with_a_line_break_in_a_name(tmp_path: Path) -> None:
    picture(tmp_path / "a\nb.png")
    picture(tmp_path / "c\u2028d.png", 1)
    (tmp_path / "t.csv").write_text('filename,label\n"a\nb.png",cat\r\n"c\u2028d.png",dog\n', encoding="utf-8")
    assert load_dataset(tmp_path).class_counts() == {"cat": 1, "dog": 1}


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("A.PNG", "a.png"),
        ("my%20pic%20%C3%A9.png", "my pic é.png"),
        ("é.png", unicodedata.normalize("NFD", "é.png")),
        ("Sub/A.png", "sub/a.png"),
    ],
)
@pytest.mark.parametrize("of_coco", [True, False])
def test_names_in_another_spelling_are_found_and_told(of_coco: bool, written: str, there: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / there)
    if of_coco:
        coco(tmp_path, written)
    else:
        (tmp_path / "t.csv").write_text(f"filename,label\n{written},cat\n", encoding="utf-8")
    data = load_dataset(tmp_path)
    assert [Path(path).name for path in data.paths] == [Path(there).name]
    assert any(note.startswith("1 images are spelt differently") and repr(written) in note for note in data.notes)


def test_of_two_spellings_neither_is_guessed(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "A.PNG", 1)
    with pytest.raises(DataNotFoundError):
        load_dataset(coco(tmp_path, "a.PNG"))


def test_folders_in_one_another_without_end(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            Path("d").mkdir()
            os.chdir("d")
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save("a.png")
    finally:
        os.chdir(here)
    assert len(Tree(tmp_path).images) == 1
    assert len(load_dataset(tmp_path)) == 1
    while True:  # pytest's own way of removing it is recursive
        inner = [path for path in tmp_path.iterdir() if path.name == "d"]
        if not inner:
            break
        inner[0].rename(tmp_path / "x")
        for path in (tmp_path / "x").iterdir():
            path.rename(tmp_path / path.name)
        (tmp_path / "x").rmdir()


def packed(target: Path, files: dict[str, Path]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, path in files.items():
            archive.write(path, name)
    return target


def test_an_archive_within_archives_is_read_to_a_depth(class_folders: Path, tmp_path: Path) -> None:
    files = {str(path.relative_to(class_folders)): path for path in class_folders.rglob("*.jpg")}
    inner = packed(tmp_path / "0.zip", files)
    for depth in range(1, 6):
        inner = packed(tmp_path / f"{depth}.zip", {"readme.txt": tmp_path / "0.zip", f"{depth - 1}.zip": inner})
    data = load_dataset(tmp_path / "2.zip")
    assert data.class_counts() == {"cat": 20, "dog": 10, "emu": 3}
    assert any("0.zip" in note for note in data.notes)
    with pytest.raises(DataFormatError, match="more than 3 archives nested in each other"):
        load_dataset(tmp_path / "5.zip")


def test_a_folder_of_archives(class_folders: Path, tmp_path: Path) -> None:
    files = {str(path.relative_to(class_folders)): path for path in class_folders.rglob("*.jpg")}
    packed(tmp_path / "held" / "a.zip", files)
    assert len(load_dataset(tmp_path / "held")) == 33
    packed(tmp_path / "held" / "b.zip", files)
    with pytest.raises(DataFormatError, match=r"2 archives and nothing else: a\.zip, b\.zip\. Give one"):
        load_dataset(tmp_path / "held")


def test_annotations_without_their_images_are_no_reason_to_guess(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "other.jpg")
    (tmp_path / "Annotations").mkdir()
    for name in "abc":
        text = f"<annotation><filename>{name}.jpg</filename></annotation>"
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
    with pytest.raises(DataFormatError, match=r"read as 'voc', none of its 3 images can be used: .*a\.xml"):
        load_dataset(tmp_path)


def unlike(root: Path) -> None:
    for subset in ("one", "two"):
        picture(root / subset / f"{subset}.png", len(subset))
        coco(root / subset, f"{subset}.png")
        (root / subset / "instances_train.json").rename(root / subset / "annotations.json")


def beside(root: Path) -> None:
    os.mkfifo(root / "data.yaml")
    os.mkfifo(root / "cat.jpg")
    picture(root / "cat" / "1.jpg")
    picture(root / "dog" / "1.jpg", 1)


@pytest.mark.parametrize(
    ("make", "said"), [(unlike, "Read as one data set: one/annotations.json, two/annotations.json."), (beside, "")]
)
def test_what_else_may_lie_there(make: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    make(tmp_path)
    data = load_dataset(tmp_path)
    assert len(data) == 2
    assert not said or said in data.notes
