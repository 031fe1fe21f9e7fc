"""Masks as LabelMe and Label Studio have them, and class maps as masks of objects."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from drivetrain.data import Dataset, load_dataset
from drivetrain.data.brush import decode_brush, encode_brush
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.images.masks import class_map, object_mask
from drivetrain.images.rle import encode_mask
from drivetrain.types import Task

SIZE = (24, 32)
NAMES = ("nut", "bolt")


def unpacked(values: list[int]) -> list[int]:
    """The bytes as the description of the packing says, bit by bit."""
    bits = iter("".join(f"{value:08b}" for value in values))

    def number(width: int) -> int:
        return int("".join(next(bits) for _ in range(width)), 2)

    total, word = number(32), number(5) + 1
    widths = [number(4) + 1 for _ in range(4)]
    found: list[int] = []
    while len(found) < total:
        is_run = number(1)
        length = number(widths[number(2)]) + 1
        found += [number(word)] * length if is_run else [number(word) for _ in range(length)]
    return found


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    pixels = np.zeros(SIZE, np.bool_)
    pixels[4:9, 10:20] = pixels[6:7, 20:28] = True
    return pixels


@pytest.fixture
def masked(tmp_path: Path, mask: NDArray[np.bool_]) -> Dataset:
    """A mask, an outline of two parts and a box on one image."""
    path = tmp_path / "a.png"
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)
    parts = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0], [20.0, 12.0, 28.0, 12.0, 28.0, 20.0]]
    record = Record(str(path), "val", SIZE, 0)
    record.boxes, record.box_labels = [10, 4, 28, 9, 1, 1, 28, 20, 2, 12, 9, 22], [0, 1, 0]
    record.rles, record.polygons = [encode_mask(mask), None, None], [[], parts, []]
    record.area, record.iscrowd = [58.0, 40.0, 70.0], [False] * 3
    return Dataset(build_table([record]), Facts(NAMES, Task.INSTANCE_SEGMENTATION, format="made"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 70))))
def test_the_brush_packs_as_it_is_described(pixels: NDArray[np.bool_]) -> None:
    values = encode_brush(pixels)
    assert unpacked(values) == np.repeat(pixels.reshape(-1), 4).astype(int).__mul__(255).tolist()
    np.testing.assert_array_equal(decode_brush(values, pixels.shape), pixels)


def test_a_long_run_of_the_brush_is_divided() -> None:
    pixels = np.ones((300, 400), np.bool_)
    np.testing.assert_array_equal(decode_brush(encode_brush(pixels), pixels.shape), pixels)


@pytest.mark.parametrize("values", [[], [0] * 4, [255] * 30, encode_brush(np.ones((2, 2)))[:-2], [300], ["x"]])
def test_what_is_no_brush_is_refused(values: list[int]) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_brush(values, (2, 2))


@pytest.mark.parametrize("name", ["labelme", "label_studio"])
def test_masks_outlines_and_boxes_come_back(
    name: str, masked: Dataset, mask: NDArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as packages leave it that read large images
    back = load_dataset(masked.export(tmp_path / "out", name))
    assert (back.format, back.task, back.label_names) == (name, Task.INSTANCE_SEGMENTATION, ("bolt", "nut"))
    labels = [back.label_names[label] for label in back[0].box_labels]
    found = [object_mask(back[0], index) for index in range(len(labels))]
    shown = next(pixels for label, pixels in zip(labels, found, strict=True) if label == "nut")
    np.testing.assert_array_equal(shown, mask)
    if name == "labelme":  # which keeps the parts together
        assert labels == ["nut", "bolt", "nut"]
        assert [len(rings) for rings in back[0].polygons] == [0, 2, 0]
    np.testing.assert_allclose(back[0].boxes[-1], [2, 12, 9, 22], atol=1e-4)


def test_labelme_has_the_pixels_within_the_box_as_png(masked: Dataset, mask: NDArray, tmp_path: Path) -> None:
    folder = masked.export(tmp_path / "out", "labelme")
    document = json.loads((folder / "val" / "a.json").read_text())
    assert (document["imagePath"], document["imageHeight"], document["imageWidth"]) == ("a.png", *SIZE)
    shape = document["shapes"][0]
    assert (shape["shape_type"], shape["points"]) == ("mask", [[10, 4], [27, 8]])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    np.testing.assert_array_equal(pixels > 0, mask[4:9, 10:28])
    groups = [shape["group_id"] for shape in document["shapes"]]
    assert groups == [None, 2, 2, None]


def test_label_studio_has_a_brush_for_masks(masked: Dataset, mask: NDArray, tmp_path: Path) -> None:
    folder = masked.export(tmp_path / "out", "label_studio")
    (task,) = json.loads((folder / "tasks.json").read_text())
    result = task["annotations"][0]["result"][0]
    assert (result["type"], result["from_name"], result["value"]["format"]) == ("brushlabels", "brush", "rle")
    alpha = np.reshape(unpacked(result["value"]["rle"]), (*SIZE, 4))[..., 3]
    np.testing.assert_array_equal(alpha > 0, mask)
    config = ET.parse(folder / "labeling_config.xml").getroot()
    assert [label.get("value") for label in config.findall("BrushLabels/Label")] == list(NAMES)


@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro", "labelme", "label_studio", "parquet"])
def test_class_maps_are_not_lost(name: str, tmp_path: Path) -> None:
    pixels = np.zeros(SIZE, np.uint8)
    pixels[3:9, 4:20], pixels[0, 0] = 1, 255
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "masks").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "images" / "a.png")
    Image.fromarray(pixels).save(tmp_path / "in" / "masks" / "a.png")
    (tmp_path / "in" / "classes.txt").write_text("ground\npart\n")
    data = load_dataset(tmp_path / "in")
    assert data.task is Task.SEMANTIC_SEGMENTATION
    back = load_dataset(data.export(tmp_path / "out", name), task="semantic_segmentation")
    assert set(back.label_names) == {"ground", "part"}
    order = np.array([("ground", "part").index(label) for label in back.label_names])
    found = class_map(back[0])
    known = found != 255
    np.testing.assert_array_equal(known, pixels != 255)
    np.testing.assert_array_equal(order[found[known]], pixels[known])


@pytest.mark.parametrize(
    "change",
    [
        {"mask": None},
        {"mask": "no base64"},
        {"mask": "AAAA"},
        {"points": [[-4, 4], [3, 8]]},
        {"points": [[20, 20], [40, 30]]},
    ],
)
def test_a_damaged_mask_of_labelme_is_told(change: dict[str, object], masked: Dataset, tmp_path: Path) -> None:
    folder = masked.export(tmp_path / "out", "labelme")
    file = folder / "val" / "a.json"
    document = json.loads(file.read_text())
    document["shapes"][0] |= change
    file.write_text(json.dumps(document))
    data = load_dataset(folder)
    assert any(note.startswith("1 annotations have a mask that cannot be read") for note in data.notes), data.notes
    assert len(data[0].boxes) == 2
