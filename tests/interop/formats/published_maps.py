"""Small data sets of class maps, tables and defects after their published descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from published_sets import BOXES, NAMES, SIZE, class_map, corners, photo, put


def colour_map(path: Path, colours: tuple[tuple[int, int, int], ...]) -> None:
    """A map of colours: the first is the background."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.empty((*SIZE, 3), np.uint8)
    pixels[:] = colours[0]
    for colour, (x, y, width, height) in zip(colours[1:], BOXES, strict=True):
        pixels[y : y + height, x : x + width] = colour
    Image.fromarray(pixels).save(path)


def cityscapes(root: Path) -> None:
    """Cityscapes: maps of label numbers, of instances and of colours in ``gtFine``."""
    for subset in ("train", "val"):
        for name in ("bonn_000000_000001", "bonn_000000_000002"):
            photo(root / "leftImg8bit" / subset / "bonn" / f"{name}_leftImg8bit.png")
            place = root / "gtFine" / subset / "bonn"
            class_map(place / f"{name}_gtFine_labelIds.png", (7, 26))
            class_map(place / f"{name}_gtFine_instanceIds.png", (7, 26000), wide=True)
            colour_map(place / f"{name}_gtFine_color.png", ((0, 0, 0), (128, 64, 128), (0, 0, 142)))
            put(place / f"{name}_gtFine_polygons.json", {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": []})


def mapillary(root: Path) -> None:
    """Mapillary Vistas 2.0: maps in ``v2.0/labels``, names in ``config_v2.0.json``."""
    for subset in ("training", "validation"):
        for name in "ab":
            photo(root / subset / "images" / f"{name}.jpg")
            class_map(root / subset / "v2.0" / "labels" / f"{name}.png")
            class_map(root / subset / "v2.0" / "instances" / f"{name}.png", (256, 513), wide=True)
    labels = [
        {"name": name, "readable": name, "evaluate": True, "color": [index, 0, 9], "instances": False}
        for index, name in enumerate(("void", *NAMES))
    ]
    put(root / "config_v2.0.json", {"labels": labels, "version": 2.0, "mapping": "public", "folder_structure": ""})


def kitti_detection(root: Path) -> None:
    """KITTI object detection: 15 values in a line."""
    for name in ("000000", "000001", "000002"):
        photo(root / "training" / "image_2" / f"{name}.png")
        lines = [
            f"{('Car', 'Cyclist')[i]} 0.00 0 1.5 {x} {y} {x + w} {y + h} 1 1 1 1 1 9 0"
            for i, (x, y, w, h) in enumerate(BOXES)
        ]
        put(root / "training" / "label_2" / f"{name}.txt", "\n".join(lines) + "\n")


def kitti_segmentation(root: Path) -> None:
    """KITTI semantic segmentation: maps of Cityscapes' numbers."""
    for name in ("000000_10", "000001_10"):
        photo(root / "training" / "image_2" / f"{name}.png")
        class_map(root / "training" / "semantic" / f"{name}.png", (7, 26))
        class_map(root / "training" / "instance" / f"{name}.png", (1792, 6657), wide=True)


def synthia_rand(root: Path) -> None:
    """SYNTHIA-RAND: three channels of 16 bits, the class in the first of them."""
    import cv2

    for name in ("0000000", "0000001"):
        photo(root / "RGB" / f"{name}.png")
        pixels = np.zeros((*SIZE, 3), np.uint16)
        for value, (x, y, width, height) in zip((3, 8), BOXES, strict=True):
            pixels[y : y + height, x : x + width, 2] = value  # OpenCV writes blue, green, red
        (root / "GT" / "LABELS").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "GT" / "LABELS" / f"{name}.png"), pixels)


def camvid(root: Path) -> None:
    """CamVid: coloured maps ``x_L.png`` and the colours in ``label_colors.txt``."""
    for name in ("0001TP_006690", "0001TP_006720"):
        photo(root / "701_StillsRaw_full" / f"{name}.png")
        colour_map(root / "LabeledApproved_full" / f"{name}_L.png", ((0, 0, 0), (128, 0, 0), (0, 128, 192)))
    put(root / "label_colors.txt", "0 0 0\tVoid\n128 0 0\tBuilding\n0 128 192\tBicyclist\n")


def ade20k(root: Path) -> None:
    """The scene parsing set of ADE20K: maps of numbers, 0 for what is none of the 150 classes."""
    for subset in ("training", "validation"):
        for name in ("ADE_00000001", "ADE_00000002"):
            photo(root / "images" / subset / f"{name}.jpg")
            class_map(root / "annotations" / subset / f"{name}.png")


def roboflow_masks(root: Path) -> None:
    """Roboflow's semantic masks: ``x_mask.png`` and ``_classes.csv``."""
    for subset in ("train", "valid"):
        for name in "ab":
            photo(root / subset / f"{name}.jpg")
            class_map(root / subset / f"{name}_mask.png")
        put(root / subset / "_classes.csv", [("Pixel Value", " Class"), (0, " background"), (1, " cat"), (2, " dog")])


def roboflow_boxes_csv(root: Path) -> None:
    """Roboflow's table of boxes."""
    for subset in ("train", "valid"):
        rows: list[tuple[Any, ...]] = [("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")]
        for name in "ab":
            photo(root / subset / f"{name}.jpg")
            rows += [
                (f"{name}.jpg", SIZE[1], SIZE[0], NAMES[i], x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(BOXES)
            ]
        put(root / subset / "_annotations.csv", rows)


def roboflow_multilabel_csv(root: Path) -> None:
    """Roboflow's table of several labels."""
    for subset in ("train", "valid"):
        for name in "ab":
            photo(root / subset / f"{name}.jpg")
        put(root / subset / "_classes.csv", [("filename", " cat", " dog"), ("a.jpg", 1, 1), ("b.jpg", 0, 1)])


def roboflow_voc(root: Path) -> None:
    """Roboflow's Pascal VOC: the annotation beside the image."""
    for subset in ("train", "valid"):
        for name in "ab":
            photo(root / subset / f"{name}.jpg")
            put(root / subset / f"{name}.xml", voc_xml(f"{name}.jpg"))


def voc_xml(name: str) -> str:
    """A VOC annotation with the two objects."""
    objects = "".join(
        f"<object><name>{NAMES[i]}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax>"
        f"<ymax>{y + h}</ymax></bndbox></object>"
        for i, (x, y, w, h) in enumerate(BOXES)
    )
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
    source = "<source><database>roboflow.ai</database></source>"
    return f"<annotation><filename>{name}</filename>{source}{size}{objects}</annotation>"


def roboflow_coco(root: Path) -> None:
    """Roboflow's COCO: a file in each subset, and a category 0 above the others."""
    for subset in ("train", "valid"):
        images, annotations = [], []
        for number, name in enumerate("ab"):
            photo(root / subset / f"{name}.jpg")
            images.append({"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
            for index, box in enumerate(BOXES):
                annotations.append(
                    {
                        "id": 2 * number + index, "image_id": number, "category_id": index + 1, "bbox": box,
                        "area": box[2] * box[3], "segmentation": [], "iscrowd": 0,
                    }
                )  # fmt: skip
        categories = [{"id": 0, "name": "pets", "supercategory": "none"}]
        categories += [{"id": i + 1, "name": name, "supercategory": "pets"} for i, name in enumerate(NAMES)]
        put(
            root / subset / "_annotations.coco.json",
            {"images": images, "annotations": annotations, "categories": categories},
        )


def yolo(root: Path, *, oriented: bool = False) -> None:
    """Roboflow's YOLO: ``train/images``, ``train/labels`` and a ``data.yaml``."""
    for subset in ("train", "valid"):
        for name in "ab":
            photo(root / subset / "images" / f"{name}.jpg")
            lines = []
            for i, (x, y, w, h) in enumerate(BOXES):
                values = [(x + w / 2) / SIZE[1], (y + h / 2) / SIZE[0], w / SIZE[1], h / SIZE[0]]
                if oriented:
                    values = [value for px, py in corners(i) for value in (px / SIZE[1], py / SIZE[0])]
                lines.append(" ".join([str(i), *map(str, values)]))
            put(root / subset / "labels" / f"{name}.txt", "\n".join(lines) + "\n")
    put(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n")


def roboflow_obb(root: Path) -> None:
    """Roboflow's oriented boxes: corners in pixels, the class and the difficulty, in ``labelTxt``."""
    for subset in ("train", "valid"):
        for name in "ab":
            photo(root / subset / "images" / f"{name}.jpg")
            lines = [" ".join([*(str(v) for p in corners(i) for v in p), NAMES[i], "0"]) for i in (0, 1)]
            put(root / subset / "labelTxt" / f"{name}.txt", "\n".join(lines) + "\n")
    put(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n")


def dota(root: Path) -> None:
    """DOTA: as above, with the source and the resolution in front, and no ``data.yaml``."""
    for subset in ("train", "val"):
        for name in ("P0001", "P0002"):
            photo(root / subset / "images" / f"{name}.png")
            lines = ["imagesource:GoogleEarth", "gsd:0.5"]
            lines += [" ".join([*(f"{v}.0" for p in corners(i) for v in p), NAMES[i], "0"]) for i in (0, 1)]
            put(root / subset / "labelTxt" / f"{name}.txt", "\n".join(lines) + "\n")


def voc_labels_only(root: Path) -> None:
    """VOC with lists of the images of each class, and no ``.xml``."""
    for name in ("000001", "000002"):
        photo(root / "JPEGImages" / f"{name}.jpg")
    sets = root / "ImageSets" / "Main"
    put(sets / "train.txt", "000001\n")
    put(sets / "val.txt", "000002\n")
    put(sets / "cat_train.txt", "000001  1\n")
    put(sets / "cat_val.txt", "000002 -1\n")
    put(sets / "dog_train.txt", "000001  1\n")
    put(sets / "dog_val.txt", "000002  1\n")
