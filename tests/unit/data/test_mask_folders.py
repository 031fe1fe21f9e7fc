"""Images with maps of their classes, in the layouts that people and published sets have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivetrain.data import load_dataset
from drivetrain.errors import DataError, DataFormatError
from drivetrain.images.masks import class_map
from drivetrain.types import Task

SIZE = (24, 32)
Pair = Callable[..., None]


def classes(*, values: tuple[int, ...] = (0, 1, 2)) -> NDArray[np.uint8]:
    """A map of three classes."""
    pixels = np.full(SIZE, values[0], np.uint8)
    pixels[2:12, 3:15] = values[1]
    pixels[14:20, 18:30] = values[2]
    return pixels


def save(path: Path, pixels: NDArray[np.generic], **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def pair(tmp_path, make_image) -> Pair:
    """``pair(image, mask, pixels)`` writes an image and its map below the temporary folder."""
    made: list[str] = []

    def make(image: str, mask: str, pixels: NDArray[np.generic] | None = None) -> None:
        made.append(image)
        make_image(tmp_path / image, SIZE, seed=len(made))
        save(tmp_path / mask, classes() if pixels is None else pixels)

    return make


def read(root: Path, **options):
    data = load_dataset(root, **options)
    assert (data.format, data.task) == ("mask_folder", Task.SEMANTIC_SEGMENTATION)
    return data


def maps_of(data) -> dict[str, NDArray[np.int64]]:
    return {Path(sample.path).name: class_map(sample) for sample in data}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("images/{}.jpg", "labels/{}.png"),
        ("Object_Images/img{}.png", "Object_Segmented_Masks/img{}_seg_mask.png"),
        ("photos/{}.jpg", "ground truth/{}_gt.png"),
        ("x/{}.jpg", "x/{}_mask.png"),
        ("x/{}.jpg", "x/{}.png"),
        ("{}.jpg", "{}_mask.png"),
    ],
)
def test_pairs_by_folder_and_by_name(tmp_path, pair, image, mask):
    for index in range(4):
        pair(image.format(index), mask.format(index))
    for arguments in ({}, {"task": "semantic_segmentation"}, {"format": "mask_folder"}):
        data = read(tmp_path, **arguments)
        assert (len(data), data.label_names) == (4, ("class_0", "class_1", "class_2"))
        assert not data.facts.left_out
        for found in maps_of(data).values():
            np.testing.assert_array_equal(found, classes())


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}/images/{}.png", "{}/masks/{}.png"),
        ("images/{}/{}.png", "masks/{}/{}.png"),
        ("{}/{}.jpg", "{}_masks/{}_mask.gif"),
        ("{}/{}.png", "{}annot/{}.png"),
    ],
)
def test_subsets(tmp_path, pair, image, mask):
    for subset, count in (("train", 4), ("val", 2)):
        for index in range(count):
            pair(image.format(subset, index), mask.format(subset, index), classes(values=(0, 1, index % 2 + 1)))
    data = read(tmp_path)
    assert (data.subsets, len(data.label_names)) == ({"train": 4, "val": 2}, 3)
    assert all(subset in path for subset in data.subsets for path in data.subset(subset).mask_paths)


def test_roboflow_names_the_values(tmp_path, pair):
    for subset, count in (("train", 3), ("valid", 2)):
        for index in range(count):
            pair(f"{subset}/p{index}_jpg.rf.{index:06x}.jpg", f"{subset}/p{index}_jpg.rf.{index:06x}_mask.png")
        (tmp_path / subset / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, leaf\n2, stem\n")
    data = read(tmp_path)
    assert (data.subsets, data.label_names) == ({"train": 3, "val": 2}, ("background", "leaf", "stem"))


def test_a_list_of_names(tmp_path, pair):
    pair("images/1.png", "masks/1.png")
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    data = read(tmp_path)
    assert data.label_names == ("road", "car", "class_2")
    assert any("has no names for the values 2" in note for note in data.notes)


class TestValues:
    def test_black_and_white_are_two_classes(self, tmp_path, pair):
        for index in range(2):
            pair(f"images/{index}.png", f"masks/{index}.png", classes(values=(0, 255, 255)))
        data = read(tmp_path)
        assert data.label_names == ("background", "foreground")
        np.testing.assert_array_equal(maps_of(data)["0.png"], classes(values=(0, 1, 1)))
        assert any("0 and 255 are background and foreground" in note for note in data.notes)

    def test_255_beside_other_numbers_is_ignored(self, tmp_path, pair):
        pair("images/1.png", "masks/1.png", classes(values=(0, 1, 255)))
        data = read(tmp_path)
        assert data.label_names == ("class_0", "class_1")
        assert set(np.unique(maps_of(data)["1.png"])) == {0, 1, 255}

    def test_lossy_and_smoothed_masks_are_cut_at_128(self, tmp_path, pair):
        for index in range(2):
            pair(f"images/{index}.png", f"masks/{index}.png", classes(values=(0, 255, 255)))
            (tmp_path / "masks" / f"{index}.png").unlink()
            save(tmp_path / "masks" / f"{index}.jpg", classes(values=(0, 255, 255)), quality=70)
        data = read(tmp_path)
        assert data.label_names == ("background", "foreground")
        for found in maps_of(data).values():
            assert np.mean(found == classes(values=(0, 1, 1))) > 0.98
        assert any("from 128 on are foreground" in note for note in data.notes)

    def test_grey_levels_with_gaps_are_numbered(self, tmp_path, pair):
        pair("images/1.png", "masks/1.png", classes(values=(0, 75, 113)))
        data = read(tmp_path)
        assert data.label_names == ("value_0", "value_75", "value_113")
        np.testing.assert_array_equal(maps_of(data)["1.png"], classes())

    def test_numbers_in_three_equal_channels_are_numbers(self, tmp_path, pair):
        pair("images/1.png", "masks/1.png", np.repeat(classes()[..., None], 3, axis=2))
        np.testing.assert_array_equal(maps_of(read(tmp_path))["1.png"], classes())

    def test_a_palette_counts_by_its_numbers(self, tmp_path, pair):
        pair("images/1.png", "masks/1.png")
        image = Image.fromarray(classes()).convert("P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.putdata(classes().ravel().tolist())
        image.save(tmp_path / "masks" / "1.png")
        np.testing.assert_array_equal(maps_of(read(tmp_path))["1.png"], classes())

    def test_colours_with_and_without_names(self, tmp_path, pair):
        colours = np.array([[0, 0, 0], [128, 0, 0], [64, 0, 128]], np.uint8)
        for index in range(2):
            pair(f"images/{index}.png", f"masks/{index}.png", colours[classes()])
        data = read(tmp_path)
        assert data.label_names == ("background", "colour_64_0_128", "colour_128_0_0")
        np.testing.assert_array_equal(maps_of(data)["0.png"], np.array([0, 2, 1])[classes()])
        (tmp_path / "label_colors.txt").write_text("128 0 0 Building\n0 0 0 Void\n64 0 128 Car\n")
        data = read(tmp_path)
        assert data.label_names == ("Building", "Void", "Car")
        np.testing.assert_array_equal(maps_of(data)["0.png"], np.array([1, 0, 2])[classes()])
        (tmp_path / "label_colors.txt").write_text("128 0 0 Building\n0 0 0 Void\n")
        with pytest.raises(
            DataFormatError, match=r"pixels of the colour \(64, 0, 128\), which is none of the 2 classes"
        ):
            load_dataset(tmp_path)

    def test_maps_take_the_numbers_of_another_order(self, tmp_path, pair):
        pair("images/1.png", "masks/1.png", classes(values=(0, 1, 255)))
        (tmp_path / "classes.txt").write_text("road\ncar\nsky\n")
        data = read(tmp_path)
        assert data.relabel(("road", "car", "tree")).mask_paths == data.mask_paths
        other = data.relabel(("tree", "car", "road"))
        np.testing.assert_array_equal(maps_of(other)["1.png"], classes(values=(2, 1, 255)))
        with pytest.raises(DataError, match=r"class 'car' of the class map .*1\.png is not among those of the model"):
            data.relabel(("sky", "road"))


def test_images_without_maps_are_told(tmp_path, pair, make_image):
    for index in range(3):
        pair(f"images/{index}.png", f"masks/{index}.png")
    make_image(tmp_path / "images" / "9.png", seed=99)
    data = read(tmp_path)
    assert len(data) == 3
    assert any("1 of 7 image files is left out: 1 in images (images without a class map" in note for note in data.notes)


def test_a_damaged_map_is_skipped(tmp_path, pair):
    for index in range(3):
        pair(f"images/{index}.png", f"masks/{index}.png")
    (tmp_path / "masks" / "1.png").write_bytes(b"no image")
    data = read(tmp_path)
    assert len(data) == 2
    assert [Path(path).name for path, _ in data.skipped] == ["1.png"]


def test_masks_that_fit_no_image_are_no_class(tmp_path, make_image):
    for index in range(3):
        make_image(tmp_path / "images" / f"a{index}.png", seed=index)
        save(tmp_path / "masks" / f"b{index + 7}.png", classes())
    with pytest.raises(DataFormatError, match=r"no class folders.*'masks' is masks"):
        load_dataset(tmp_path)


class TestPublishedSets:
    def test_cityscapes(self, tmp_path, pair):
        for subset, count in (("train", 3), ("val", 2)):
            for index in range(count):
                stem = f"aachen/aachen_{index:06}_000019"
                truth = f"gtFine/{subset}/{stem}_gtFine"
                pair(
                    f"leftImg8bit/{subset}/{stem}_leftImg8bit.png",
                    f"{truth}_labelIds.png",
                    classes(values=(7, 26, 23)),
                )
                save(tmp_path / f"{truth}_instanceIds.png", classes(values=(7, 26, 23)).astype(np.uint16) * 1000)
                save(tmp_path / f"{truth}_color.png", np.repeat(classes()[..., None] * 40, 3, axis=2))
                (tmp_path / f"{truth}_polygons.json").write_text("{}")
        data = read(tmp_path)
        assert data.subsets == {"train": 3, "val": 2}
        assert (data.label_names[7], data.label_names[26], data.label_names[23]) == ("road", "car", "sky")
        assert len(data.label_names) == 34
        assert set(np.unique(class_map(data[0]))) == {7, 23, 26}
        assert not data.facts.left_out

    def test_cityscapes_with_numbers_to_train_on(self, tmp_path, pair):
        for index in range(3):
            stem = f"train/ulm/ulm_{index:06}_000019"
            pair(
                f"leftImg8bit/{stem}_leftImg8bit.png",
                f"gtFine/{stem}_gtFine_labelTrainIds.png",
                classes(values=(0, 13, 255)),
            )
        data = read(tmp_path)
        assert (len(data.label_names), data.label_names[13]) == (19, "car")

    def test_kitti(self, tmp_path, pair):
        for index in range(3):
            name = f"{index:06}_10.png"
            pair(f"training/image_2/{name}", f"training/semantic/{name}", classes(values=(7, 26, 23)))
            save(tmp_path / "training" / "instance" / name, classes(values=(7, 26, 23)).astype(np.uint16) * 256)
            save(tmp_path / "training" / "semantic_rgb" / name, np.repeat(classes()[..., None] * 40, 3, axis=2))
        data = read(tmp_path)
        assert (data.subsets, data.label_names[26]) == ({"train": 3}, "car")
        assert set(np.unique(class_map(data[0]))) == {7, 23, 26}
        assert not data.facts.left_out

    def test_mapillary_vistas(self, tmp_path, pair):
        labels = [
            {"name": f"a--{name}", "readable": name, "color": colour, "evaluate": True}
            for name, colour in (("Bird", [165, 42, 42]), ("Curb", [196, 196, 196]), ("Fence", [190, 153, 153]))
        ]
        (tmp_path / "config_v1.2.json").write_text(json.dumps({"labels": labels, "version": "1.1"}))
        palette = [value for entry in labels for value in entry["color"]]
        for subset, count in (("training", 3), ("validation", 2)):
            for index in range(count):
                name = f"{subset[0]}{index}"
                pair(f"{subset}/images/{name}.jpg", f"{subset}/v1.2/labels/{name}.png")
                image = Image.new("P", SIZE[::-1])
                image.putpalette(palette)
                image.putdata(classes().ravel().tolist())
                image.save(tmp_path / subset / "v1.2" / "labels" / f"{name}.png")
                save(tmp_path / subset / "v1.2" / "instances" / f"{name}.png", classes().astype(np.uint16) * 256)
        data = read(tmp_path)
        assert (data.subsets, data.label_names) == ({"train": 3, "val": 2}, ("Bird", "Curb", "Fence"))
        np.testing.assert_array_equal(class_map(data[0]), classes())
        assert not data.facts.left_out

    @pytest.mark.parametrize("with_file", [True, False])
    def test_camvid(self, tmp_path, pair, with_file):
        colours = np.array([[0, 0, 0], [128, 64, 128], [64, 0, 128]], np.uint8)
        for index in range(3):
            name = f"0001TP_{index:06}"
            pair(f"701_StillsRaw_full/{name}.png", f"LabeledApproved_full/{name}_L.png", colours[classes()])
        if with_file:
            (tmp_path / "label_colors.txt").write_text("64 0 128\tCar\n128 64 128\tRoad\n0 0 0\t\tVoid\n")
        data = read(tmp_path)
        found = {data.label_names[number] for number in np.unique(class_map(data[0]))}
        assert (found, len(data.label_names)) == ({"Void", "Road", "Car"}, 3 if with_file else 32)

    def test_synthia(self, tmp_path, pair):
        colours = np.array([[0, 0, 0], [128, 64, 128], [0, 172, 0]], np.uint8)
        for index in range(3):
            pair(f"RGB/{index:07}.png", f"GT/COLOR/{index:07}.png", colours[classes()])
        data = read(tmp_path)
        assert {data.label_names[n] for n in np.unique(class_map(data[0]))} == {"void", "road", "lanemarking"}

    def test_ade20k(self, tmp_path, pair):
        for subset, count in (("training", 3), ("validation", 2)):
            for index in range(count):
                name = f"ADE_{subset}_{index:08}"
                pair(f"images/{subset}/{name}.jpg", f"annotations/{subset}/{name}.png", classes(values=(0, 1, 3)))
        (tmp_path / "objectInfo150.txt").write_text(
            "Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall \n2\t0.1072\t6046\t612\tbuilding, edifice\n"
            "3\t0.0878\t8265\t796\tsky\n"
        )
        data = read(tmp_path)
        assert data.subsets == {"train": 3, "val": 2}
        assert data.label_names == ("other", "wall", "building", "sky")


def test_masks_are_counted_beside_the_images_and_not_among_them(tmp_path):
    from drivetrain.testing import data

    found = load_dataset(data.mvtec(tmp_path / "bottles"))
    anomalous = int((found.anomalous == 1).sum())
    assert found.notes[0] == f"Read as 'mvtec': {len(found)} images and {anomalous} masks."
    assert not any("left out" in note for note in found.notes)
