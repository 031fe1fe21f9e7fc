"""Small data sets written by hand after the published description of each format: three images, two objects each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (40, 60)
"""Height and width of every image."""

NAMES = ("cat", "dog")
BOXES = ((4, 5, 20, 10), (30, 8, 9, 9))
"""x, y, width and height of the two objects on every image."""


def photo(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """A picture of noise, another one for every path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = np.frombuffer(str(path).encode(), np.uint8)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


def class_map(path: Path, values: tuple[int, int] = (1, 2), *, wide: bool = False, background: int = 0) -> Path:
    """A map with the two objects as numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(SIZE, background, np.uint16 if wide else np.uint8)
    for value, (x, y, width, height) in zip(values, BOXES, strict=True):
        pixels[y : y + height, x : x + width] = value
    Image.fromarray(pixels).save(path)
    return path


def put(path: Path, content: Any) -> None:
    """Write text as it is, rows as CSV, and anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, list) and content and isinstance(content[0], tuple):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(content)
    else:
        path.write_text(json.dumps(content))


def corners(index: int) -> list[list[int]]:
    """The corners of an object as points."""
    x, y, width, height = BOXES[index]
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def labelme_json(root: Path) -> None:
    """wkentaro/labelme: ``x.json`` beside ``x.jpg``."""
    for name in "abc":
        photo(root / f"{name}.jpg")
        shapes = [
            {"label": NAMES[0], "points": corners(0), "shape_type": "polygon", "group_id": None, "flags": {}},
            {
                "label": NAMES[1], "points": [corners(1)[0], corners(1)[2]], "shape_type": "rectangle",
                "group_id": None, "flags": {},
            },
        ]  # fmt: skip
        put(
            root / f"{name}.json",
            {
                "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None,
                "imageHeight": SIZE[0], "imageWidth": SIZE[1],
            },
        )  # fmt: skip


def via(root: Path) -> None:
    """VGG Image Annotator 2: one file, keyed by file name and size."""
    document = {}
    for name in "abc":
        path = photo(root / f"{name}.jpg")
        x, y, width, height = BOXES[0]
        box = {"name": "rect", "x": x, "y": y, "width": width, "height": height}
        xs, ys = zip(*corners(1), strict=True)
        outline = {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}
        document[f"{name}.jpg{path.stat().st_size}"] = {
            "filename": f"{name}.jpg",
            "size": path.stat().st_size,
            "regions": [
                {"shape_attributes": box, "region_attributes": {"class": NAMES[0]}},
                {"shape_attributes": outline, "region_attributes": {"class": NAMES[1]}},
            ],
            "file_attributes": {},
        }
    put(root / "via_region_data.json", document)


def label_studio(root: Path) -> None:
    """Label Studio's JSON export: per cents of the image, files with the prefix of the upload."""
    tasks = []
    for number, name in enumerate("abc"):
        photo(root / "images" / f"3f2a{number}bcd-{name}.jpg")
        results = []
        for index, (x, y, width, height) in enumerate(BOXES):
            value = {
                "x": 100 * x / SIZE[1], "y": 100 * y / SIZE[0], "width": 100 * width / SIZE[1],
                "height": 100 * height / SIZE[0], "rotation": 0, "rectanglelabels": [NAMES[index]],
            }  # fmt: skip
            results.append(
                {
                    "id": f"r{index}", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
                    "original_width": SIZE[1], "original_height": SIZE[0], "value": value,
                }
            )  # fmt: skip
        tasks.append(
            {
                "id": number + 1,
                "data": {"image": f"/data/upload/1/3f2a{number}bcd-{name}.jpg"},
                "annotations": [{"id": 1, "was_cancelled": False, "result": results}],
            }
        )
    put(root / "project-1-at-2026.json", tasks)


def createml(root: Path) -> None:
    """Apple's Create ML, as Roboflow writes it: the middle and size of each box."""
    for subset in ("train", "valid"):
        entries = []
        for name in "abc":
            photo(root / subset / f"{name}.jpg")
            boxes = [
                {
                    "label": NAMES[index],
                    "coordinates": {"x": x + width / 2, "y": y + height / 2, "width": width, "height": height},
                }
                for index, (x, y, width, height) in enumerate(BOXES)
            ]
            entries.append({"image": f"{name}.jpg", "annotations": boxes})
        put(root / subset / "_annotations.createml.json", entries)


def vott_json(root: Path) -> None:
    """VoTT's own export."""
    assets = {}
    for name in "abc":
        photo(root / f"{name}.jpg")
        regions = [
            {
                "id": f"r{index}", "type": "RECTANGLE", "tags": [NAMES[index]], "points": [],
                "boundingBox": {"left": x, "top": y, "width": width, "height": height},
            }
            for index, (x, y, width, height) in enumerate(BOXES)
        ]  # fmt: skip
        asset = {"name": f"{name}.jpg", "path": f"{name}.jpg", "size": {"width": SIZE[1], "height": SIZE[0]}}
        assets[f"id-{name}"] = {"asset": asset, "regions": regions, "version": "2.2.0"}
    put(root / "train-export.json", {"name": "shop", "tags": [{"name": name} for name in NAMES], "assets": assets})


def vott_csv(root: Path) -> None:
    """VoTT's export as a table."""
    rows: list[tuple[Any, ...]] = [("image", "xmin", "ymin", "xmax", "ymax", "label")]
    for name in "abc":
        photo(root / f"{name}.jpg")
        rows += [(f"{name}.jpg", x, y, x + w, y + h, NAMES[i]) for i, (x, y, w, h) in enumerate(BOXES)]
    put(root / "train-export.csv", rows)


def widerface(root: Path) -> None:
    """WIDER FACE: a list of boxes with attributes for each image, and no label at all."""
    for subset in ("train", "val"):
        lines = []
        for name in "abc":
            photo(root / f"WIDER_{subset}" / "images" / "0--Parade" / f"0_Parade_{name}.jpg")
            lines += [f"0--Parade/0_Parade_{name}.jpg", "2"]
            lines += [f"{x} {y} {w} {h} 0 0 0 0 0 0" for x, y, w, h in BOXES]
        put(root / "wider_face_split" / f"wider_face_{subset}_bbx_gt.txt", "\n".join(lines) + "\n")


def mot(root: Path) -> None:
    """MOTChallenge: frames in ``img1``, one table of all boxes."""
    size = f"imWidth={SIZE[1]}\nimHeight={SIZE[0]}"
    put(root / "seqinfo.ini", f"[Sequence]\nname=s\nimDir=img1\nframeRate=30\nseqLength=3\n{size}\nimExt=.jpg\n")
    lines = []
    for frame in (1, 2, 3):
        photo(root / "img1" / f"{frame:06}.jpg")
        lines += [f"{frame},{i + 1},{x},{y},{w},{h},1,1,1" for i, (x, y, w, h) in enumerate(BOXES)]
    put(root / "gt" / "gt.txt", "\n".join(lines) + "\n")


def mots(root: Path) -> None:
    """MOTS: 16-bit maps of class * 1000 + instance."""
    for subset in ("train", "val"):
        for name in "abc":
            photo(root / subset / "images" / f"{name}.jpg")
            class_map(root / subset / "instances" / f"{name}.png", (1001, 2001), wide=True)
        put(root / subset / "instances" / "labels.txt", "cat\ndog\n")


def segment_anything(root: Path) -> None:
    """SA-1B: one JSON file for each image, masks without labels."""
    from pycocotools import mask as coco_mask

    for number, name in enumerate(("sa_1", "sa_2", "sa_3"), start=1):
        photo(root / f"{name}.jpg")
        annotations = []
        for index, (x, y, width, height) in enumerate(BOXES):
            pixels = np.zeros(SIZE, np.uint8, order="F")
            pixels[y : y + height, x : x + width] = 1
            run_lengths = coco_mask.encode(pixels)
            annotations.append(
                {
                    "id": 10 * number + index, "bbox": [x, y, width, height], "area": width * height,
                    "segmentation": {"size": list(SIZE), "counts": run_lengths["counts"].decode()},
                    "predicted_iou": 0.9, "stability_score": 0.9, "crop_box": [0, 0, SIZE[1], SIZE[0]],
                    "point_coords": [[x + 1, y + 1]],
                }
            )  # fmt: skip
        image = {"image_id": number, "width": SIZE[1], "height": SIZE[0], "file_name": f"{name}.jpg"}
        put(root / f"{name}.json", {"image": image, "annotations": annotations})


def icdar_localization(root: Path) -> None:
    """ICDAR text localization: four numbers of a box and the text."""
    for subset in ("train", "test"):
        for name in "abc":
            photo(root / subset / "images" / f"{name}.jpg")
            lines = [f'{x} {y} {x + w} {y + h} "word"' for x, y, w, h in BOXES]
            put(root / subset / f"gt_{name}.txt", "\n".join(lines) + "\n")


def market1501(root: Path) -> None:
    """Market-1501: the person is the first number of the file name."""
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        for person in (1, 2):
            photo(root / folder / f"{person:04}_c1s1_00{person}001_00.jpg", (128, 64))


def lfw(root: Path) -> None:
    """Labeled Faces in the Wild, as it is unpacked: a folder for each person, and the lists beside."""
    for person in ("Ann_Lee", "Bob_Ray"):
        for index in (1, 2):
            photo(root / "lfw" / person / f"{person}_{index:04}.jpg")


def mars(root: Path) -> None:
    """MARS: a folder for each person within ``bbox_train`` and ``bbox_test``."""
    for folder in ("bbox_train", "bbox_test"):
        for person in ("0001", "0003"):
            photo(root / folder / person / f"{person}C1T0001F001.jpg", (128, 64))


def mpii_json(root: Path) -> None:
    """MPII as JSON: 16 joints of one person on each image."""
    entries = []
    for name in "abc":
        photo(root / f"{name}.jpg")
        joints = [[float(4 + index), float(6 + index), 1.0] for index in range(16)]
        entries.append(
            {
                "img_paths": f"{name}.jpg", "img_width": SIZE[1], "img_height": SIZE[0], "objpos": [20.0, 20.0],
                "scale_provided": 1.0, "joint_self": joints, "joint_others": [], "numOtherPeople": 0.0,
                "dataset": "MPI", "isValidation": 0.0, "annolist_index": 1, "people_index": 1,
            }
        )  # fmt: skip
    put(root / "mpii_annotations.json", entries)


def mnist_csv(root: Path) -> None:
    """MNIST as a table: the label, then 784 pixels."""
    for seed, subset in enumerate(("train", "test")):
        pixels = np.random.default_rng(seed).integers(0, 255, (3, 784))
        header: list[tuple[Any, ...]] = [("label", *(f"{r}x{c}" for r in range(1, 29) for c in range(1, 29)))]
        put(root / f"mnist_{subset}.csv", header + [(label, *row.tolist()) for label, row in enumerate(pixels)])
