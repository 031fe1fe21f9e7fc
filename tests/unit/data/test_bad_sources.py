"""Sources that are not as their format has them: moved, incomplete, closed, or of formats that overlap."""

from __future__ import annotations

import json
import os
from pathlib import Path

import published_maps as maps
import published_sets as sets
import pytest

from drivetrain import Engine, load_dataset
from drivetrain.cli.wording import reworded
from drivetrain.data.tree import Tree
from drivetrain.errors import DataError, DataFormatError
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import toy
from drivetrain.testing.data import class_folders
from drivetrain.types import Task


@pytest.mark.parametrize("written", ["/srv/pictures/shop/{}", "C:\\shop\\{}", "shop/{}"])
def test_a_table_finds_the_images_of_another_computer(written: str, tmp_path: Path) -> None:
    root = tmp_path / "shop" if written.startswith("shop") else tmp_path
    for name in ("a.jpg", "b.jpg"):
        sets.photo(root / name)
    sets.put(
        tmp_path / "t.csv", [("path", "label"), (written.format("a.jpg"), "cat"), (written.format("b.jpg"), "dog")]
    )
    data = load_dataset(tmp_path)
    assert [sample.path for sample in data] == [str(root / "a.jpg"), str(root / "b.jpg")]


def test_coco_finds_the_images_of_another_computer_though_two_have_one_name(tmp_path: Path) -> None:
    maps.roboflow_coco(tmp_path)
    for file in tmp_path.rglob("*.json"):
        document = json.loads(file.read_text())
        for image in document["images"]:
            image["file_name"] = f"D:\\data\\{image['file_name']}"
        sets.put(file, document)
    data = load_dataset(tmp_path)
    assert (len(data), data.subsets) == (4, {"train": 2, "val": 2})


def test_a_data_yaml_of_another_computer_is_read(tmp_path: Path) -> None:
    maps.yolo(tmp_path)
    sets.put(
        tmp_path / "data.yaml",
        "train: /srv/pictures/set/train/images\nval: C:\\set\\valid\\images\nnames: [cat, dog]\n",
    )
    assert load_dataset(tmp_path).subsets == {"train": 2, "val": 2}


def test_a_link_to_itself_and_a_link_to_the_root_are_left_out(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        sets.photo(tmp_path / name / "a.jpg")
    (tmp_path / "cat" / "root").symlink_to(tmp_path)
    (tmp_path / "dog" / "self").symlink_to("self")
    assert load_dataset(tmp_path).label_names == ("cat", "dog")


def test_a_folder_that_may_not_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cat", "dog", "emu"):
        sets.photo(tmp_path / name / "a.jpg")
    scan = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("emu"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr("drivetrain.data.tree.os.scandir", refuse)
    assert Tree(tmp_path).closed == ["emu"]
    assert any(
        "1 folders cannot be opened (no permission): emu" in note for note in load_dataset(tmp_path, cache=False).notes
    )


def test_label_files_without_images_are_told_by_every_reader(tmp_path: Path) -> None:
    maps.kitti_detection(tmp_path / "kitti")
    (tmp_path / "kitti" / "training" / "image_2" / "000002.png").unlink()
    notes = load_dataset(tmp_path / "kitti").notes
    assert any("belong to no existing image: training/label_2/000002.txt" in note for note in notes)
    maps.dota(tmp_path / "dota")
    (tmp_path / "dota" / "train" / "images" / "P0001.png").unlink()
    data = load_dataset(tmp_path / "dota")
    assert (len(data), len(data.skipped)) == (3, 1)


def test_captions_alone_leave_images_without_annotations(tmp_path: Path) -> None:
    sets.photo(tmp_path / "train2017" / "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}
    caption = {"id": 1, "image_id": 1, "caption": "a cat"}
    sets.put(tmp_path / "annotations" / "captions_train2017.json", {"images": [image], "annotations": [caption]})
    data = load_dataset(tmp_path)
    assert (data.format, data.is_annotated) == ("unannotated", False)
    assert any("Captions are not used here" in note for note in data.notes)


def test_a_table_of_unknown_columns_says_which_are_known(tmp_path: Path) -> None:
    sets.photo(tmp_path / "a.jpg")
    sets.put(tmp_path / "t.csv", [("foto", "klasse"), ("a.jpg", "cat")])
    with pytest.raises(
        DataFormatError, match=r"'foto', 'klasse' names the images\. Call the column one of: path, image"
    ):
        load_dataset(tmp_path)


def test_a_pickle_is_refused_as_one_and_read_when_it_may_be(tmp_path: Path) -> None:
    pytest.importorskip("datumaro")
    from format_table import exported

    exported(tmp_path / "cifar", name="cifar", kind="label")
    with pytest.raises(DataError, match=r"format='cifar': its files are pickles.*allow_pickle=True"):
        load_dataset(tmp_path / "cifar")
    assert len(load_dataset(tmp_path / "cifar", allow_pickle=True)) == 6


@pytest.mark.parametrize("folder", ["test", "predicted"])
def test_the_only_subset_of_yolo_is_read_once(folder: str, tmp_path: Path) -> None:
    maps.yolo(tmp_path)
    (tmp_path / "train").rename(tmp_path / folder)
    for name in ("valid/images/a.jpg", "valid/images/b.jpg", "valid/labels/a.txt", "valid/labels/b.txt"):
        (tmp_path / name).unlink()
    for config in (f"{folder}: {folder}/images\nnames: [cat, dog]\n", "names: [cat, dog]\n"):
        sets.put(tmp_path / "data.yaml", config)
        assert len(load_dataset(tmp_path)) == 2


def test_outlines_of_four_free_corners_stay_outlines(tmp_path: Path) -> None:
    maps.yolo(tmp_path, oriented=True)
    data = load_dataset(tmp_path)
    assert data.task is Task.ORIENTED_DETECTION
    assert any("task='instance_segmentation'" in note for note in data.notes)
    for file in tmp_path.rglob("*.txt"):
        file.write_text("0 0.1 0.1 0.6 0.2 0.5 0.7 0.1 0.4\n")
    assert load_dataset(tmp_path).task is Task.INSTANCE_SEGMENTATION


def test_labelme_joins_the_parts_of_a_group_and_names_what_it_left_out(tmp_path: Path) -> None:
    sets.labelme_json(tmp_path)
    document = json.loads((tmp_path / "a.json").read_text())
    part = dict(document["shapes"][0], group_id=7)
    line = {"label": "edge", "points": [[1, 1], [9, 9]], "shape_type": "line", "group_id": None}
    ball = {"label": "ball", "points": [[20, 20], [25, 20]], "shape_type": "circle", "group_id": None}
    sets.put(tmp_path / "a.json", dict(document, shapes=[part, part, line, ball]))
    data = load_dataset(tmp_path)
    assert [len(rings) for rings in data[0].polygons] == [2, 1]
    assert data[0].boxes[1].tolist() == [15, 15, 25, 25]
    assert any("were left out: 1 line" in note for note in data.notes)


def test_label_studio_turns_rectangles_about_their_first_corner(tmp_path: Path) -> None:
    sets.label_studio(tmp_path)
    file = next(tmp_path.glob("*.json"))
    tasks = json.loads(file.read_text())
    tasks[0]["annotations"][0]["result"][0]["value"].update(x=50, y=25, width=20, height=10, rotation=90)
    tasks[1]["data"]["image"] = "/data/local-files/?d=images/3f2a1bcd-b.jpg"
    sets.put(file, tasks)
    data = load_dataset(tmp_path)
    assert (data.task, len(data)) == (Task.ORIENTED_DETECTION, 3)
    assert data[0].boxes[0].round(3).tolist() == [26, 10, 30, 22]


def test_via_reads_projects_and_ticked_boxes(tmp_path: Path) -> None:
    sets.via(tmp_path)
    file = tmp_path / "via_region_data.json"
    document = json.loads(file.read_text())
    for entry in document.values():
        entry["regions"][0]["region_attributes"] = {"kind": {"cat": True, "dog": False}}
    sets.put(file, {"_via_settings": {}, "_via_img_metadata": document})
    data = load_dataset(tmp_path)
    assert (data.format, data.label_names, len(data)) == ("via", ("cat", "dog"), 3)


def test_synthia_keeps_the_numbers_of_16_bits(tmp_path: Path) -> None:
    maps.synthia_rand(tmp_path)
    assert load_dataset(tmp_path).label_names == ("value_0", "value_3", "value_8")


def test_the_work_dir_of_a_run_and_an_artefact_are_no_data(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "data")
    engine = Engine("drivetrain.testing.toy.ToyModel", source, work_dir=tmp_path / "a run", engine=toy.SPEC.name)
    engine.progress = SilentProgress()
    engine.train(1)
    artefact = engine.export()
    with pytest.raises(DataFormatError) as caught:
        load_dataset(tmp_path / "a run")
    assert f"is the work dir of a run, not a data set. Read its data with: `load_dataset({str(source)!r})`" in str(
        caught.value
    )
    assert reworded(str(caught.value)).endswith(f"To see what it is: drivetrain info '{tmp_path / 'a run'}'.")
    with pytest.raises(DataFormatError, match="is an exported model, not a data set"):
        Engine("drivetrain.testing.toy.ToyModel", artefact.path, engine=toy.SPEC.name).train(1)
    engine.predict(output=tmp_path / "a run" / "answers.json", output_format="coco")
    assert len(load_dataset(tmp_path / "a run" / "answers.json")) == len(load_dataset(source).subset("test"))


def test_data_in_the_work_dir_itself_are_read(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "data")
    record = {"engine": toy.SPEC.name, "model": {}, "parts": [], "data": {"source": str(source)}}
    (source / "run.json").write_text(json.dumps(record))
    assert load_dataset(source).task is Task.CLASSIFICATION
    (source / "run.json").write_text(json.dumps({**record, "data": {"source": str(tmp_path / "elsewhere")}}))
    with pytest.raises(DataFormatError, match="is the work dir of a run"):
        load_dataset(source)
