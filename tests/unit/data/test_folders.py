"""Folders that look alike and are not: classes, masks, defects, subsets, runs, several data sets, or nothing known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain.data import load_dataset
from drivetrain.data.trainable import require_trainable
from drivetrain.errors import DataError, DataFormatError
from drivetrain.images.masks import rasterise
from drivetrain.types import Task


def make_mask(path: Path, *, value: int = 255, box: tuple[int, int, int, int] = (4, 4, 12, 12)) -> Path:
    """A mask of 24 x 32 pixels with one box of a value."""
    pixels = np.zeros((24, 32), np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def fill(tmp_path, make_image):
    """``fill(name, {folder: count})`` makes folders of pictures; returns the root."""

    def make(name: str, folders: Mapping[str, int], suffix: str = ".png") -> Path:
        seed = 0
        for folder, count in folders.items():
            for index in range(count):
                seed += 1
                make_image(tmp_path / name / folder / f"{index:03}{suffix}", seed=seed)
        return tmp_path / name

    return make


def summary(data) -> tuple[object, ...]:
    masked = sum(path is not None for path in data.mask_paths)
    return data.task.value, dict(data.subsets), data.label_names, int((data.anomalous == 1).sum()), masked


class TestClassFolders:
    @pytest.mark.parametrize("extra", ["predict", "runs/predict", "unlabelled/batch1", "docs"])
    def test_a_folder_beside_the_subsets_is_no_class(self, fill, extra):
        root = fill("set", {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2, extra: 2})
        data = load_dataset(root)
        assert (data.label_names, data.subsets) == (("cat", "dog"), {"train": 6, "val": 4})
        top = extra.partition("/")[0]
        assert any(note.startswith("2 of 12 image files are left out: 2 in " + top) for note in data.notes)
        left = data.facts.left_out
        assert [(entry.folder, entry.suffix, entry.count) for entry in left] == [(extra, ".png", 2)]

    def test_a_folder_of_the_same_classes_is_a_subset(self, fill):
        root = fill("set", {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2, "holdout/cat": 1})
        assert load_dataset(root).subsets == {"train": 6, "val": 4, "holdout": 1}

    def test_a_subset_beside_classes_is_no_class_but_train_may_be(self, fill):
        data = load_dataset(fill("set", {"car": 3, "train": 3, "test": 2}))
        assert (data.label_names, len(data)) == (("car", "train"), 6)
        assert any("2 in test (named as a subset" in note for note in data.notes)

    def test_what_a_training_wrote_is_no_class(self, fill):
        root = fill("set", {"cat": 3, "dog": 3, "runs/predict": 2})
        assert load_dataset(root).label_names == ("cat", "dog")
        photographs = fill("sports", {"runs": 3, "jumps": 3})
        assert load_dataset(photographs).label_names == ("jumps", "runs")

    @pytest.mark.parametrize(
        "folders",
        [
            {"images/cat": 2, "images/dog": 2},
            {"images/train/cat": 2, "images/train/dog": 2, "images/val/cat": 1},
            {"train/images/cat": 2, "train/images/dog": 2, "val/images/cat": 1},
            {"part_train/cat": 2, "part_train/dog": 2, "part_val/cat": 1},
            {"train2017/cat": 2, "train2017/dog": 2, "val2017/cat": 1},
        ],
    )
    def test_folders_around_classes_and_other_names_of_subsets(self, fill, folders):
        data = load_dataset(fill("set", folders))
        assert data.label_names == ("cat", "dog")
        assert data.subsets == ({"train": 4, "val": 1} if len(folders) == 3 else {"train": 4})

    @pytest.mark.parametrize(
        "folders",
        [
            {"train/images": 2, "val/images": 1},
            {"train/image_2": 2, "train/depth": 2, "val/image_2": 1},
            {"images": 2, "depth": 2},
            {"set_train": 2, "set_val": 1},
        ],
    )
    def test_folders_that_are_named_for_images_or_maps_or_subsets_are_no_classes(self, fill, folders):
        root = fill("set", folders)
        assert (load_dataset(root).format, load_dataset(root).label_names) == ("unannotated", ())
        (root / "boxes.txt").write_text("0 0 1 1")
        with pytest.raises(DataFormatError, match=r"neither class folders nor annotations of a known.*boxes\.txt"):
            load_dataset(root)
        assert len(load_dataset(root, "unannotated")) == sum(folders.values())

    def test_masks_are_no_class_but_photographs_in_a_folder_of_this_name_are(self, fill):
        root = fill("animals", {"cat": 3, "dog": 3})
        for name in ("cat", "dog"):
            for index in range(3):
                make_mask(root / "masks" / name / f"{index:03}.png")
        data = load_dataset(root)
        assert (data.label_names, len(data)) == (("cat", "dog"), 6)
        assert any("6 of 12 image files are left out: 6 in masks (masks)" in note for note in data.notes)
        assert load_dataset(fill("faces", {"mask": 3, "no_mask": 3})).label_names == ("mask", "no_mask")

    def test_masks_beside_the_images_of_a_class_are_left_out(self, fill):
        root = fill("animals", {"cat": 6, "dog": 6}, ".jpg")
        for index in range(3):
            make_mask(root / "cat" / f"{index:03}_mask.png")
        data = load_dataset(root)
        assert (data.label_names, len(data)) == (("cat", "dog"), 12)
        assert any("3 in cat (masks next to their images)" in note for note in data.notes)

    def test_files_beside_the_images_are_told(self, fill):
        root = fill("animals", {"cat": 3, "dog": 3})
        for name in ("cat/000.json", "cat/001.json", "dog/000.txt", "README.md", "make.py"):
            (root / name).write_text("{}")
        data = load_dataset(root)
        assert (data.format, data.label_names) == ("image_folder", ("cat", "dog"))
        assert "3 files next to the images were not read: 2 .json, 1 .txt." in data.notes
        assert any("Not read as 'yolo', which finds 6 images and not one annotation" in note for note in data.notes)

    def test_maps_of_the_same_names_and_sizes_are_no_class(self, fill):
        root = fill("set", {"photos": 4})
        for index in range(4):
            make_mask(root / "second" / f"{index:03}.png", value=3)
        with pytest.raises(DataFormatError, match=r"'second' contains a map of each image in 'photos'"):
            load_dataset(root)

    def test_small_drawings_in_folders_of_numbers_are_classes(self, tmp_path):
        for digit in range(2):
            for index in range(4):
                make_mask(tmp_path / str(digit) / f"{index}.png", box=(2, 2 + digit, 9, 5))
        assert load_dataset(tmp_path).label_names == ("0", "1")


class TestChoice:
    def test_a_format_without_any_annotation_gives_way_to_one_that_has_some(self, fill):
        root = fill("set", {"images": 3})
        (root / "labels").mkdir()
        for index in range(3):
            (root / "labels" / f"{index:03}.txt").touch()
        (root / "data.yaml").write_text("names: [nut]\ntrain: images\n")
        (root / "marks.csv").write_text("image,label\nimages/000.png,a\nimages/001.png,b\n")
        data = load_dataset(root)
        assert (data.format, len(data)) == ("csv", 2)
        assert any("as other formats: yolo 3; --data.format chooses" in note for note in data.notes)
        assert any("1 in images (no annotation names them)" in note for note in data.notes)
        assert load_dataset(root, "yolo").object_counts.tolist() == [0, 0, 0]

    def test_a_readme_beside_the_only_folder_is_no_part_of_the_data(self, fill):
        root = fill("archive", {"deep/train/x": 2, "deep/train/y": 2, "deep/val/x": 1})
        (root / "README.txt").write_text("hello")
        assert load_dataset(root).subsets == {"train": 4, "val": 1}


class TestSeveral:
    @pytest.mark.parametrize("subsets", [("train", "val"), ("train", "test")])
    def test_data_sets_in_one_folder_are_named(self, fill, subsets):
        folders = {f"{name}/{subset}/{label}": 2 for name in ("a", "b") for subset in subsets for label in "xy"}
        with pytest.raises(DataFormatError, match=r"contains 2 data sets: a, b\. Give one of them, such as .*a\."):
            load_dataset(fill("both", folders))

    def test_a_data_set_beside_other_folders_is_named(self, fill):
        root = fill("more", {"set/train/x": 2, "set/train/y": 2, "set/val/x": 2, "docs": 1})
        with pytest.raises(DataFormatError, match=r"contains a data set in set: .*Give one of them, such as .*set"):
            load_dataset(root)


class TestUnannotated:
    @pytest.mark.parametrize(
        ("folders", "subsets"),
        [({".": 3}, {"train": 3}), ({"images": 3}, {"train": 3}), ({"train": 3, "val": 2}, {"train": 3, "val": 2})],
    )
    def test_images_without_classes_are_read_and_cannot_be_learned(self, fill, folders, subsets):
        data = load_dataset(fill("loose", folders))
        assert (data.format, data.is_annotated, data.label_names, data.subsets) == ("unannotated", False, (), subsets)
        assert (data.anomalous == -1).all()
        with pytest.raises(DataError, match=r"no classes and no annotations.*task='anomaly'.*one folder per class"):
            require_trainable(data, Task.CLASSIFICATION)
        with pytest.raises(DataError, match=r"task='detection': the images have no classes.*support: anomaly"):
            data.with_task("detection")

    def test_they_are_normal_images_for_an_anomaly_model(self, fill):
        data = load_dataset(fill("loose", {"images": 30}), task="anomaly")
        assert not data.anomalous.any()
        assert any("have no annotations and count as normal ones" in note for note in data.notes)
        divided = data.with_splits()
        require_trainable(divided, Task.ANOMALY)
        assert not divided.is_annotated


class TestDefects:
    def test_good_images_and_defects_with_masks(self, fill):
        root = fill("toy", {"good": 10, "NG/colour": 3, "NG/crack": 3})
        for kind in ("colour", "crack"):
            for index in range(3):
                make_mask(root / "mask" / kind / f"{index:03}.png")
        data = load_dataset(root)
        assert summary(data) == ("anomaly", {"train": 16}, ("good", "NG"), 6, 6)
        for sample in data:
            if sample.mask_path:
                assert Path(sample.mask_path).parts[-2:] == Path(sample.path).parts[-2:]

    def test_masks_with_names_of_their_own(self, tmp_path, make_image):
        for index in range(5):
            make_image(tmp_path / "normal_dir" / f"image{index}.png", seed=index)
        for index in range(20, 23):
            make_image(tmp_path / "abnormal_dir" / f"image{index}.png", seed=index)
            make_mask(tmp_path / "mask_dir" / f"mask{index}.png")
        data = load_dataset(tmp_path)
        assert summary(data) == ("anomaly", {"train": 8}, ("normal_dir", "abnormal_dir"), 3, 3)
        found = {Path(sample.path).stem: Path(sample.mask_path).stem for sample in data if sample.mask_path}
        assert found == {f"image{index}": f"mask{index}" for index in range(20, 23)}

    @pytest.mark.parametrize("arguments", [{}, {"task": "anomaly"}, {"normal": "ok"}, {"format": "mvtec"}])
    def test_btad(self, fill, arguments):
        root = fill("01", {"train/ok": 5, "test/ok": 3, "test/ko": 3}, ".bmp")
        for index in range(3):
            make_mask(root / "ground_truth" / "ko" / f"{index:03}.png")
        data = load_dataset(root, **arguments)
        assert summary(data) == ("anomaly", {"train": 5, "test": 6}, ("ok", "ko"), 3, 3)
        assert not data.facts.left_out

    def test_val_beside_train_and_test(self, fill):
        root = fill("bottle", {"train/good": 5, "val/good": 2, "val/hole": 2, "test/good": 3, "test/hole": 3})
        for subset, count in (("val", 2), ("test", 3)):
            for index in range(count):
                make_mask(root / "ground_truth" / subset / "hole" / f"{index:03}_mask.png")
        assert summary(load_dataset(root)) == (
            "anomaly",
            {"train": 5, "val": 4, "test": 6},
            ("good", "hole"),
            5,
            5,
        )

    def test_mvtec_loco_joins_the_masks_of_an_image(self, fill):
        kinds = ("logical_anomalies", "structural_anomalies")
        root = fill(
            "box", {"train/good": 4, "validation/good": 2, "test/good": 2, **{f"test/{kind}": 2 for kind in kinds}}
        )
        for kind in kinds:
            for image in range(2):
                make_mask(root / "ground_truth" / kind / f"{image:03}" / "000.png", value=200)
        make_mask(root / "ground_truth" / kinds[0] / "000" / "001.png", value=255, box=(14, 20, 20, 30))
        data = load_dataset(root)
        assert summary(data) == ("anomaly", {"train": 4, "val": 2, "test": 6}, ("good", *kinds), 4, 4)
        sizes = {(Path(s.path).parent.name, Path(s.path).stem): int(rasterise(s).sum()) for s in data if s.mask_path}
        assert sizes[kinds[0], "000"] == 64 + 60
        assert sizes[kinds[1], "000"] == 64
        assert not data.facts.left_out

    def test_visa(self, fill):
        root = fill("candle", {"Data/Images/Normal": 6, "Data/Images/Anomaly": 3}, ".JPG")
        for index in range(3):
            make_mask(root / "Data" / "Masks" / "Anomaly" / f"{index:03}.png", value=1)
        rows = ["image,label,mask"]
        rows += [f"candle/Data/Images/Normal/{index:03}.JPG,normal," for index in range(6)]
        rows += [
            f"candle/Data/Images/Anomaly/{i:03}.JPG,wax melded out,candle/Data/Masks/Anomaly/{i:03}.png"
            for i in range(3)
        ]
        (root / "image_anno.csv").write_text("\n".join(rows))
        assert summary(load_dataset(root)) == ("anomaly", {"train": 9}, ("Normal", "Anomaly"), 3, 3)

    def test_real_iad_has_masks_beside_the_images(self, fill):
        root = fill("toothbrush", {"OK/S0001": 4, "NG/AK/S0002": 3}, ".jpg")
        for index in range(3):
            make_mask(root / "NG" / "AK" / "S0002" / f"{index:03}.png")
        assert summary(load_dataset(root)) == ("anomaly", {"train": 7}, ("OK", "NG"), 3, 3)

    def test_kolektor_tells_defects_by_their_masks(self, fill):
        root = fill("ksdd2", {"train": 4, "test": 3})
        for subset, count in (("train", 4), ("test", 3)):
            for index in range(count):
                make_mask(root / subset / f"{index:03}_GT.png", value=255 if index == 0 else 0)
        data = load_dataset(root)
        assert summary(data) == ("anomaly", {"train": 4, "test": 3}, ("good", "defect"), 2, 2)
        assert not data.facts.left_out

    def test_subsets_with_defects_in_each(self, fill):
        root = fill("set", {"train/good": 4, "train/dent": 2, "test/good": 2, "test/dent": 2})
        for subset in ("train", "test"):
            for index in range(2):
                make_mask(root / "masks" / subset / "dent" / f"{index:03}.png")
        data = load_dataset(root)
        assert summary(data) == ("anomaly", {"train": 6, "test": 4}, ("good", "dent"), 4, 4)

    def test_lossy_masks_are_cut_at_128(self, fill):
        root = fill("toy", {"good": 4, "bad": 2})
        for index in range(2):
            path = make_mask(root / "mask" / f"{index:03}.png")
            Image.open(path).save(path.with_suffix(".jpg"), quality=60)
            path.unlink()
        data = load_dataset(root)
        assert any("pixels from 128 on are defects" in note for note in data.notes)
        assert [int(rasterise(sample).sum()) for sample in data if sample.mask_path] == [64, 64]

    def test_masks_belong_to_defects_where_the_normal_class_has_a_name_of_its_own(self, fill):
        root = fill("bottle", {"train/fine": 5, "test/fine": 2, "test/crack": 3})
        for index in range(3):
            make_mask(root / "ground_truth" / "crack" / f"{index:03}_mask.png")
        assert summary(load_dataset(root, normal="fine")) == (
            "anomaly",
            {"train": 5, "test": 5},
            ("fine", "crack"),
            3,
            3,
        )
        with pytest.raises(DataError, match=r"normal='fin'.*Did you mean 'fine'"):
            load_dataset(root, normal="fin")

    def test_mvtec_ad_2(self, fill):
        root = fill("can", {"train/good": 4, "validation/good": 2, "test_public/good": 2, "test_public/bad": 2})
        for index in range(2):
            make_mask(root / "test_public" / "ground_truth" / "bad" / f"{index:03}_mask.png")
        assert summary(load_dataset(root)) == ("anomaly", {"train": 4, "val": 2, "test": 4}, ("good", "bad"), 2, 2)

    def test_a_defect_without_a_mask_and_a_mask_without_an_image_are_told(self, fill):
        root = fill("toy", {"good": 4, "bad": 3})
        for index in (0, 1, 7):
            make_mask(root / "mask" / f"{index:03}.png")
        data = load_dataset(root)
        assert summary(data)[3:] == (3, 2)
        assert any("1 images of defects have no mask, such as bad/002.png" in note for note in data.notes)
        assert any("1 in mask (masks of no image of a defect)" in note for note in data.notes)
