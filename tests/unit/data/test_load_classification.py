from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.trainable import require_trainable, unseen_labels
from drivetrain.errors import DataError, DataFormatError, DataNotFoundError, ImageError, OptionError
from drivetrain.types import Task


def test_class_folders(class_folders):
    data = load_dataset(class_folders)
    assert data.label_names == ("cat", "dog", "emu")
    assert data.task is Task.CLASSIFICATION
    assert data.format == "image_folder"
    assert len(data) == 33
    assert data.class_counts() == {"cat": 20, "dog": 10, "emu": 3}
    sample = data[20]
    assert (Path(sample.path).parent.name, sample.labels.tolist(), sample.size) == ("dog", [1], (24, 32))
    assert [s.path for s in data] == list(data.paths)
    assert data.image_labels.tolist() == [int(s.labels[0]) for s in data]


@pytest.mark.parametrize("spelling", ["val", "valid", "validation"])
def test_subset_folders(tmp_path, make_image, spelling):
    for subset in ("train", spelling, "test"):
        for name in ("a", "b"):
            make_image(tmp_path / subset / name / "x.png")
    assert load_dataset(tmp_path).subsets == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize(("folder", "subset"), [("test", "test"), ("valid", "val"), ("photos", "train")])
def test_the_only_folder_counts_as_the_subset_that_it_names(tmp_path, make_image, folder, subset):
    for name in ("a", "b"):
        make_image(tmp_path / folder / name / "x.png")
    assert load_dataset(tmp_path).subsets == {subset: 2}


def test_one_class_can_be_measured_but_not_be_learned(tmp_path, make_image):
    make_image(tmp_path / "scratch" / "1.png")
    data = load_dataset(tmp_path)
    assert (data.label_names, data.image_labels.tolist()) == (("scratch",), [0])
    with pytest.raises(DataError, match=r"all images are of one class, 'scratch'.*task='anomaly'") as caught:
        require_trainable(data, Task.CLASSIFICATION)
    assert "normal='scratch'" not in str(caught.value)


def test_the_forms_of_an_accent_are_one_class(tmp_path, make_image):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for path in (f"train/{composed}/1.png", "train/dog/1.png", f"val/{decomposed}/1.png", "val/dog/1.png"):
        make_image(tmp_path / path)
    data = load_dataset(tmp_path)
    assert data.label_names == (composed, "dog")
    assert data.relabel((decomposed, "dog")).image_labels.tolist() == data.image_labels.tolist()


def test_a_class_that_training_lacks_is_named_with_its_other_spelling(tmp_path, make_image):
    for path in ("train/Big Cat/1.png", "train/dog/1.png", "val/big_cat/1.png", "val/dog/1.png"):
        make_image(tmp_path / path)
    assert unseen_labels(load_dataset(tmp_path)) == [
        "'big_cat' occurs in val but never in train, so it cannot be learned. Are these two spellings of one class: "
        "'big_cat' and 'Big Cat'?"
    ]


def test_only_normal_images_for_training_means_anomaly(tmp_path, make_image):
    for path in ("train/OK/1.png", "test/OK/2.png", "test/scratch/3.png"):
        make_image(tmp_path / path)
    data = load_dataset(tmp_path, "image_folder")
    assert data.task is Task.ANOMALY
    assert data.label_names == ("OK", "scratch")
    assert {Path(s.path).name: s.anomalous for s in data} == {"1.png": False, "2.png": False, "3.png": True}


def test_two_class_folder_is_classification_unless_asked(tmp_path, make_image):
    for index in range(4):
        make_image(tmp_path / "good" / f"{index}.png")
        make_image(tmp_path / "defect" / f"{index}.png")
    assert load_dataset(tmp_path).task is Task.CLASSIFICATION
    data = load_dataset(tmp_path, task="anomaly")
    assert data.label_names == ("good", "defect")
    assert data.anomalous.sum() == 4
    assert load_dataset(tmp_path, normal="defect").label_names == ("defect", "good")
    with pytest.raises(DataError, match=r"normal='fine'.*There are: defect, good"):
        load_dataset(tmp_path, normal="fine")


def test_classes_without_a_usual_name_of_normal_images_are_anomalies(tmp_path, make_image):
    make_image(tmp_path / "crack" / "1.png")
    make_image(tmp_path / "dent" / "1.png")
    data = load_dataset(tmp_path, task="anomaly")
    assert data.anomalous.tolist() == [1, 1]
    assert any("anomalies: no class folder is named 'good', 'normal' or 'ok'" in note for note in data.notes)
    with pytest.raises(DataError, match=r"no training image.*normal='NAME'") as caught:
        require_trainable(data.split(), Task.ANOMALY)
    assert "normal='crack'" not in str(caught.value)


def test_anomalies_are_never_split_into_training(tmp_path, make_image):
    for index in range(20):
        make_image(tmp_path / "good" / f"{index}.png")
        make_image(tmp_path / "defect" / f"{index}.png")
    data = load_dataset(tmp_path, task="anomaly").with_splits()
    assert not data.subset("train").anomalous.any()
    assert data.subset("val").anomalous.sum() == data.subset("test").anomalous.sum() == 10


def test_empty_class_is_noted_or_refused(class_folders):
    (class_folders / "fox").mkdir()
    data = load_dataset(class_folders)
    assert data.label_names == ("cat", "dog", "emu", "fox")
    assert any("1 classes have no images: fox" in note for note in data.notes)
    with pytest.raises(DataError, match="strict=True: 1 classes have no images: fox"):
        load_dataset(class_folders, strict=True)


def test_unreadable_and_truncated_images_are_skipped_with_their_paths(class_folders, make_image):
    (class_folders / "cat" / "bad.jpg").write_bytes(b"not an image")
    whole = make_image(class_folders / "dog" / "cut.jpg", (100, 100)).read_bytes()
    (class_folders / "dog" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (class_folders / "dog" / "empty.png").touch()
    data = load_dataset(class_folders)
    assert len(data) == 33
    assert {Path(path).name for path, _ in data.skipped} == {"bad.jpg", "cut.jpg", "empty.png"}
    (note,) = (note for note in data.notes if note.startswith("3 images were skipped: "))
    assert all(f"{path} {reason}" in note for path, reason in data.skipped)
    with pytest.raises(ImageError, match=r"strict=True: 3 images .*bad\.jpg .*; .*cut\.jpg .*; .*empty\.png .*them"):
        load_dataset(class_folders, strict=True)


def test_of_many_unreadable_images_ten_are_named_and_the_rest_counted(class_folders):
    for number in range(12):
        (class_folders / "cat" / f"bad{number:02}.jpg").write_bytes(b"not an image")
    (note,) = (note for note in load_dataset(class_folders).notes if "were skipped" in note)
    assert note.startswith("12 images were skipped: ")
    assert note.count(".jpg ") == 10
    assert note.endswith("; and 2 more.")


def test_copies_between_subsets_are_told(tmp_path, make_image):
    for index, path in enumerate(("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")):
        make_image(tmp_path / path, seed=index)
    assert not any("copies" in note for note in load_dataset(tmp_path).notes)
    (tmp_path / "test" / "a" / "9.png").write_bytes((tmp_path / "train" / "a" / "1.png").read_bytes())
    note = next(note for note in load_dataset(tmp_path).notes if "copies" in note)
    assert note.startswith("1 images are copies of another file")
    assert "Of these, 1 are in more than one subset" in note


def test_jpeg_with_bytes_after_its_end_is_kept(class_folders):
    path = class_folders / "cat" / "00.jpg"
    path.write_bytes(path.read_bytes() + b"trailing")
    assert not load_dataset(class_folders).skipped


def test_size_is_that_of_the_upright_image(class_folders, make_image):
    make_image(class_folders / "cat" / "zz.jpg", (24, 32), orientation=6)
    make_image(class_folders / "cat" / "zy.png", (24, 32), orientation=8)
    make_image(class_folders / "cat" / "zx.tif", (24, 32), orientation=5)
    sizes = {Path(s.path).name: s.size for s in load_dataset(class_folders)}
    assert sizes["zz.jpg"] == sizes["zy.png"] == sizes["zx.tif"] == (32, 24)
    assert sizes["00.jpg"] == (24, 32)


def test_missing_and_empty_sources(tmp_path, make_image):
    (tmp_path / "bottles").mkdir()
    with pytest.raises(DataNotFoundError, match=r"botles does not exist\. Did you mean 'bottles'\?"):
        load_dataset(tmp_path / "botles")
    with pytest.raises(DataFormatError, match="is empty"):
        load_dataset(tmp_path / "bottles")
    (tmp_path / "bottles" / "readme.txt").write_text("hello")
    with pytest.raises(DataFormatError, match="contains no images"):
        load_dataset(tmp_path / "bottles")
    make_image(tmp_path / "bottles" / "1.png")
    (tmp_path / "bottles" / "what.json").write_text("{}")
    with pytest.raises(DataFormatError, match=r"contains 1 images, but neither class folders.*what\.json"):
        load_dataset(tmp_path / "bottles")


def test_unknown_format_and_source(class_folders):
    with pytest.raises(DataFormatError, match=r"format='cocoo' is not known\. Did you mean 'coco'"):
        load_dataset(class_folders, "cocoo")
    with pytest.raises(DataError, match="source=3 is not a data set; give a folder"):
        load_dataset(3)
    with pytest.raises(OptionError, match="is not a task"):
        load_dataset(class_folders, task="clasification")


def test_task_that_the_data_cannot_serve(class_folders):
    with pytest.raises(DataError, match=r"task='detection': there are no boxes.*support: classification"):
        load_dataset(class_folders, task="detection")


def write_table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("source", ["table", "folder"])
def test_csv_with_one_label(class_folders, source):
    table = write_table(
        class_folders.parent / "labels.csv",
        "image,label,split\nanimals/cat/00.jpg,cat,train\nanimals/dog/00.jpg,dog,train\nanimals/cat/01.jpg,cat,valid\n",
    )
    data = load_dataset(table if source == "table" else table.parent)
    assert (data.format, data.task, data.label_names) == ("csv", Task.CLASSIFICATION, ("cat", "dog"))
    assert data.subsets == {"train": 2, "val": 1}
    assert data.image_labels.tolist() == [0, 1, 0]


def test_csv_without_header(class_folders):
    table = write_table(class_folders / "t.csv", "cat/00.jpg,1\ndog/00.jpg,0\nemu/00.jpg,10\n")
    data = load_dataset(table)
    assert data.label_names == ("0", "1", "10")
    assert data.image_labels.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "text",
    [
        "path,labels\ncat/00.jpg,wet|red\ncat/01.jpg,red\ncat/02.jpg,\n",
        "path;labels\ncat/00.jpg;wet,red\ncat/01.jpg;red\ncat/02.jpg;\ncat/03.jpg;wet\n",
        "path,red,wet\ncat/00.jpg,1,1\ncat/01.jpg,1,0\ncat/02.jpg,0,0\n",
    ],
)
def test_csv_with_several_labels(class_folders, text):
    data = load_dataset(write_table(class_folders / "t.csv", text))
    assert data.task is Task.MULTILABEL_CLASSIFICATION
    assert data.label_names == ("red", "wet")
    assert data.label_matrix[:3].tolist() == [[True, True], [True, False], [False, False]]


def test_csv_names_with_spaces_stay_whole(class_folders):
    text = "path,label\ncat/00.jpg,red car\ncat/01.jpg,red bus\ncat/02.jpg,blue car\ncat/03.jpg,blue bus\n"
    assert len(load_dataset(write_table(class_folders / "t.csv", text)).label_names) == 4


def test_csv_contradiction_is_refused(class_folders):
    table = write_table(class_folders / "t.csv", "path,label\ncat/00.jpg,a\ncat/00.jpg,b\ncat/01.jpg,b\n")
    with pytest.raises(DataError, match=r"00\.jpg has two labels, 'a' and 'b'.*multilabel_classification"):
        load_dataset(table)
    assert load_dataset(table, task="multilabel_classification").label_matrix[0].tolist() == [True, True]


def test_csv_with_missing_files(class_folders):
    table = write_table(class_folders / "t.csv", "path,label\ncat/00.jpg,a\ncat/99.jpg,b\ndog/01.jpg,b\n")
    data = load_dataset(table)
    assert len(data) == 2
    assert any("1 annotated images do not exist" in note and "99.jpg" in note for note in data.notes)
    write_table(table, "path,label\nx.jpg,a\ny.jpg,b\n")
    with pytest.raises(DataNotFoundError, match=r"none of the 2 images that it names exists, such as .*x\.jpg"):
        load_dataset(table)


def test_csv_without_a_known_column(class_folders):
    table = write_table(class_folders / "t.csv", "foo,bar\ncat/00.jpg,a\n")
    with pytest.raises(DataFormatError, match=r"none of the columns 'foo', 'bar' names the images"):
        load_dataset(table)


def test_csv_of_boxes(class_folders):
    text = "filename,class,xmin,ymin,xmax,ymax\ncat/00.jpg,eye,1,2,5,6\ncat/00.jpg,ear,3,4,8,9\ncat/01.jpg,,,,,\n"
    data = load_dataset(write_table(class_folders / "t.csv", text))
    assert data.task is Task.DETECTION
    assert data[0].boxes.tolist() == [[1, 2, 5, 6], [3, 4, 8, 9]]
    assert data[0].box_labels.tolist() == [1, 0]
    assert data[1].boxes.shape == (0, 4)


def test_zip_is_unpacked_once_and_cannot_escape(class_folders, own_cache, tmp_path):
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in class_folders.rglob("*.jpg"):
            archive.write(path, Path("deep/animals") / path.relative_to(class_folders))
    data = load_dataset(packed)
    assert data.label_names == ("cat", "dog", "emu")
    assert all(path.startswith(str(own_cache)) for path in data.paths)
    assert load_dataset(packed).paths == data.paths
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(DataFormatError, match="points out of the archive"):
        load_dataset(tmp_path / "evil.zip")
    assert not (tmp_path / "evil.txt").exists()
    (tmp_path / "broken.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataFormatError, match="cannot be unpacked"):
        load_dataset(tmp_path / "broken.zip")


def test_pickled_formats_are_refused(class_folders):
    with pytest.raises(DataError, match="allow_pickle=True"):
        load_dataset(class_folders, "cifar")


class TestCache:
    def test_second_load_reads_no_image(self, class_folders, monkeypatch):
        first = load_dataset(class_folders)
        monkeypatch.setattr("drivetrain.data.check.read_headers", None)
        second = load_dataset(class_folders)
        assert second.fingerprint == first.fingerprint
        assert second.table.equals(first.table)
        assert second.facts == first.facts

    def test_options_are_part_of_the_key(self, class_folders):
        load_dataset(class_folders)
        assert load_dataset(class_folders, task="anomaly", normal="cat").task is Task.ANOMALY

    def test_a_changed_file_counts(self, class_folders, make_image):
        first = load_dataset(class_folders)
        make_image(class_folders / "emu" / "new.jpg")
        second = load_dataset(class_folders)
        assert len(second) == 34
        assert second.fingerprint != first.fingerprint
        make_image(class_folders / "emu" / "new.jpg", (50, 60), seed=9)
        assert load_dataset(class_folders)[33].size == (50, 60)

    def test_a_changed_image_outside_the_source_counts(self, class_folders, make_image):
        (class_folders.parent / "tables").mkdir()
        text = f"path,label\n{class_folders}/cat/00.jpg,a\n{class_folders}/dog/00.jpg,b\n"
        table = write_table(class_folders.parent / "tables" / "t.csv", text)
        assert load_dataset(table)[0].size == (24, 32)
        make_image(class_folders / "cat" / "00.jpg", (50, 60))
        assert load_dataset(table)[0].size == (50, 60)

    def test_a_damaged_entry_is_made_again(self, class_folders, own_cache):
        first = load_dataset(class_folders)
        entries = list(own_cache.rglob("*.arrow"))
        assert len(entries) == 1
        entries[0].write_bytes(b"ARROW1 rubbish")
        assert load_dataset(class_folders).table.equals(first.table)

    def test_no_cache(self, class_folders, own_cache):
        load_dataset(class_folders, cache=False)
        assert not list(own_cache.rglob("*.arrow"))

    def test_fingerprint_survives_a_move(self, class_folders):
        first = load_dataset(class_folders)
        moved = class_folders.rename(class_folders.with_name("moved"))
        second = load_dataset(moved)
        assert second.fingerprint == first.fingerprint
        names = [list(map(os.path.basename, data.split(seed=4).subset("val").paths)) for data in (first, second)]
        assert names[0] == names[1]


def test_dataset_passes_through(class_folders):
    data = load_dataset(class_folders)
    assert load_dataset(data) is data
    assert load_dataset(data, splits=(0.5, 0.25, 0.25)).subsets["train"] == 17
    with pytest.raises(OptionError, match="is a Dataset already"):
        load_dataset(data, "coco")


def test_samples_own_their_arrays(class_folders):
    data = load_dataset(class_folders)
    data[0].labels[0] = 2
    assert data[0].labels[0] == 0
    assert isinstance(data, Dataset)
    assert data[0].labels.dtype == np.int64
