"""Small data sets of people, scenes and archives after their published descriptions."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from published_maps import colour_map
from published_sets import BOXES, NAMES, SIZE, class_map, corners, photo, put

_LANDMARKS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
_JOINTS = 16


def celeba(root: Path) -> None:
    """CelebA, aligned: tables of attributes, landmarks, persons and subsets in ``Anno`` and ``Eval``."""
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    for name in names:
        photo(root / "Img" / "img_align_celeba" / name)
    points = "20 10 40 10 30 20 22 30 38 30"
    put(
        root / "Anno" / "list_attr_celeba.txt",
        "\n".join([str(len(names)), "Bald Eyeglasses Smiling", *(f"{name} -1  1  1" for name in names)]) + "\n",
    )
    put(
        root / "Anno" / "list_landmarks_align_celeba.txt",
        "\n".join([str(len(names)), _LANDMARKS, *(f"{name} {points}" for name in names)]) + "\n",
    )
    put(root / "Anno" / "identity_CelebA.txt", "".join(f"{name} {i % 2 + 1}\n" for i, name in enumerate(names)))
    put(root / "Eval" / "list_eval_partition.txt", "".join(f"{name} {i // 2}\n" for i, name in enumerate(names)))


def mpii_mat(root: Path) -> None:
    """MPII: nested structs of MATLAB; two people on the first image, one without some joints, none on the last."""
    from scipy.io import savemat

    def person(first: int, last: int) -> dict[str, Any]:
        points = [{"x": 4.0 + i, "y": 6.0 + i, "id": i, "is_visible": i % 2} for i in range(first, last)]
        head = {"x1": 4.0, "y1": 4.0, "x2": 10.0, "y2": 10.0}
        return {**head, "annopoints": {"point": points}, "scale": 1.5, "objpos": {"x": 20.0, "y": 20.0}}

    names = [f"{number:09}.jpg" for number in (1, 2, 3)]
    for name in names:
        photo(root / "images" / name)
    people: list[list[dict[str, Any]]] = [[person(0, _JOINTS), person(6, 10)], [person(0, _JOINTS)], []]
    images = [
        {"image": {"name": name}, "annorect": found, "frame_sec": [], "vididx": []}
        for name, found in zip(names, people, strict=True)
    ]
    release = {"annolist": images, "img_train": [1, 1, 0], "version": "12"}
    savemat(str(root / "mpii_human_pose_v1_u12_1.mat"), {"RELEASE": release})


def mots_unnamed(root: Path) -> None:
    """KITTI MOTS: 1 a car, 2 a pedestrian, 10000 what is ignored, and no file of labels."""
    for name in ("000000", "000001"):
        photo(root / "training" / "image_02" / "0002" / f"{name}.png")
        path = class_map(root / "training" / "instances" / "0002" / f"{name}.png", (1001, 2005), wide=True)
        pixels = np.asarray(Image.open(path)).copy()
        pixels[-4:, :] = 10000
        Image.fromarray(pixels).save(path)


def ade20k_2016(root: Path) -> None:
    """The full ADE20K of 2016: the class in red and green, the instance in blue, and a line for each object."""
    for subset in ("training", "validation"):
        stem = root / "images" / subset / "a" / "abbey" / f"ADE_{subset[:5]}_00000001"
        photo(stem.with_suffix(".jpg"))
        colour_map(stem.with_name(f"{stem.name}_seg.png"), ((0, 0, 0), (10, 20, 128), (30, 5, 255)))
        colour_map(stem.with_name(f"{stem.name}_parts_1.png"), ((0, 0, 0), (1, 2, 255), (0, 0, 0)))
        lines = [f'00{i + 1} # 0 # 0 # {name} # {name} # ""' for i, name in enumerate(NAMES)]
        put(stem.with_name(f"{stem.name}_atr.txt"), "\n".join([*lines, '001 # 1 # 0 # ear # ear # "left"']) + "\n")


def ade20k_2021(root: Path) -> None:
    """The full ADE20K of 2021: the outlines and the masks of the objects beside the map."""
    for subset in ("training", "validation"):
        name = f"ADE_{subset[:5]}_00000001"
        place = root / subset / "urban" / "street"
        photo(place / f"{name}.jpg")
        colour_map(place / f"{name}_seg.png", ((0, 0, 0), (10, 20, 128), (30, 5, 255)))
        objects = []
        for index, label in enumerate((*NAMES, "ear")):
            xs, ys = zip(*corners(index % 2), strict=True)
            mask = f"{name}/instance_{index:03}_{name}.png"
            class_map(place / mask, (255, 0))
            objects.append(
                {
                    "id": index, "name": f"{label}, animal", "name_ndx": 700 + index, "raw_name": label,
                    "hypernym": [label], "attributes": [], "depth_ordering_rank": index, "occluded": "no", "crop": "0",
                    "parts": {"hasparts": [], "ispartof": 0 if index == 2 else [], "part_level": int(index == 2)},
                    "instance_mask": mask, "polygon": {"x": list(xs), "y": list(ys), "click_date": []},
                }
            )  # fmt: skip
        put(place / f"{name}.json", {"annotation": {"filename": f"{name}.jpg", "object": objects}})


def mapillary_v1(root: Path) -> None:
    """Mapillary Vistas 1: ``labels`` and ``instances`` beside ``images``, and ``config.json``."""
    for subset in ("training", "validation"):
        for name in "ab":
            photo(root / subset / "images" / f"{name}.jpg")
            class_map(root / subset / "labels" / f"{name}.png")
            class_map(root / subset / "instances" / f"{name}.png", (256, 513), wide=True)
    labels = [
        {"name": f"object--{name}", "readable": name, "evaluate": True, "color": [index, 0, 9], "instances": False}
        for index, name in enumerate(("void", *NAMES))
    ]
    put(root / "config.json", {"labels": labels, "version": 1.1, "mapping": "public", "folder_structure": ""})


def geti(root: Path) -> None:
    """Intel Geti's export of a project: a zip of Datumaro's JSON, labels in groups, an empty label, empty images."""
    import datumaro as dm
    from datumaro.components.annotation import AnnotationType, Bbox, Label, LabelCategories
    from datumaro.components.media import Image as Picture

    labels = LabelCategories.from_iterable([*NAMES, "No object"])
    labels.add_label_group("Detection labels", list(NAMES), 0)
    labels.add_label_group("No object", ["No object"], 0)
    items = []
    for number in range(4):
        found = [Bbox(*box, label=i, id=i + 1, group=i + 1) for i, box in enumerate(BOXES)] if number else [Label(2)]
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        media = Picture.from_numpy(pixels, ext=".jpg")
        items.append(dm.DatasetItem(f"pic_{number}", subset="default", media=media, annotations=found))
    infos = {"GetiProjectTask": "detection", "GetiTaskTypeLabels": [["detection", [*NAMES, "No object"]]]}
    folder = root / "unpacked"
    data = dm.Dataset.from_iterable(items, categories={AnnotationType.label: labels}, infos=infos)
    data.export(str(folder), "datumaro", save_media=True)
    with zipfile.ZipFile(root / "Pets detection-Dataset.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def image_zip(root: Path) -> None:
    """Datumaro's zip of images and nothing else."""
    import datumaro as dm
    from datumaro.components.media import Image as Picture

    items = [
        dm.DatasetItem(f"pic{i}", media=Picture.from_numpy(np.full((*SIZE, 3), 20 * i, np.uint8), ext=".jpg"))
        for i in range(3)
    ]
    dm.Dataset.from_iterable(items).export(str(root), "image_zip", save_media=True)
