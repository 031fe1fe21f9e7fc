"""Every format with a small data set of it, and the table of them in ``docs/formats.md``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import published_defects as defects
import published_maps as maps
import published_people as people
import published_sets as sets

from drivetrain import load_dataset
from drivetrain.data.dataset import Dataset

PAGE = Path(__file__).resolve().parents[3] / "docs" / "formats.md"
_COUNTED = ("labels", "boxes", "polygons", "masks", "keypoints", "class maps", "defect masks")
_HEAD = """# Formats

Each row is a small data set, made by Datumaro's own exporter or by hand after the published description of the format,
and read with `load_dataset(FOLDER)` and no `format`. *Read as* is the name that `format="..."` (`--data.format`) takes.
*Datumaro* is what Datumaro itself finds in the same folder: "equal", or why ours differs. This page is written by
`python tests/interop/formats/format_table.py` and checked by the tests.

| data set | read as | task | images | annotations | Datumaro |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class FormatCase:
    """One format.

    Attributes:
        title: what users call it.
        make: writes a small data set into a folder.
        datumaro: the name of its importer, ``""`` if it has none.
        why: why ours is right where the counts differ.
        options: of ``load_dataset``.
        file: what of the folder is given to ``load_dataset``; ``""`` for the folder itself.
        inside: the folder that is given to Datumaro; ``""`` for the folder itself.
    """

    title: str
    make: Callable[[Path], Any]
    datumaro: str = ""
    why: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    file: str = ""
    inside: str = ""


def exported(root: Path, *, name: str, kind: str) -> None:
    """Let Datumaro write six images with two boxes, polygons or masks, or one label, each."""
    import datumaro as dm
    import numpy as np
    from datumaro.components.annotation import Bbox, Label, Mask, Polygon, RotatedBbox
    from datumaro.components.media import Image

    random = np.random.default_rng(0)

    def annotations(index: int) -> list[Any]:
        if kind == "label":
            return [Label(index % 2)]
        if kind == "rotated":
            return [RotatedBbox(20, 20, 10, 6, 30, label=0)]
        found: list[Any] = []
        for number, (x, y, width, height) in enumerate(sets.BOXES):
            shown = np.zeros(sets.SIZE, bool)
            shown[y : y + height, x : x + width] = True
            ring = [float(value) for point in sets.corners(number) for value in point]
            more = {"id": number + 1, "group": number + 1}
            found.append(
                {
                    "box": lambda n=number, b=(x, y, width, height), m=more: Bbox(*b, label=n, **m),
                    "polygon": lambda n=number, r=ring, m=more: Polygon(r, label=n, **m),
                    "mask": lambda n=number, s=shown, m=more: Mask(s, label=n + 1, **m),
                }[kind]()
            )
        return found

    items = [
        dm.DatasetItem(
            f"pic{index}",
            subset="train" if index < 4 else "val",
            media=Image.from_numpy(random.integers(0, 255, (*sets.SIZE, 3), dtype=np.uint8), ext=".jpg"),
            annotations=annotations(index),
        )
        for index in range(6)
    ]
    names = ["background", *sets.NAMES] if kind == "mask" else [*sets.NAMES]
    dm.Dataset.from_iterable(items, categories=names).export(str(root), name, save_media=True)


def _exported(title: str, name: str, kind: str, datumaro: str | None = None, **more: Any) -> FormatCase:
    return FormatCase(title, partial(exported, name=name, kind=kind), datumaro or name, **more)


_MAPS = "one mask for each class there, one map for each image here"
_FACES = "person and landmarks together there, the attributes as texts"

CASES = (
    _exported("Datumaro JSON", "datumaro", "polygon"),
    _exported("Datumaro binary", "datumaro_binary", "box"),
    _exported("Datumaro Arrow", "arrow", "box"),
    _exported("COCO instances", "coco_instances", "polygon", why="box and polygon of one object are one object here"),
    _exported("COCO, all files", "coco", "mask", why="box and mask of one object are one object here"),
    _exported("COCO labels", "coco_labels", "label"),
    _exported("COCO panoptic", "coco_panoptic", "mask"),
    _exported("COCO stuff", "coco_stuff", "mask", why="box and mask of one object are one object here"),
    _exported("CVAT, boxes", "cvat", "box"),
    _exported("CVAT, polygons", "cvat", "polygon"),
    _exported("CVAT, rotated boxes", "cvat", "rotated"),
    _exported("DOTA, rotated boxes", "dota", "rotated"),
    _exported("ImageNet", "imagenet", "label"),
    _exported("ImageNet with subsets", "imagenet_with_subset_dirs", "label"),
    _exported("ImageNet, list of files", "imagenet_txt", "label"),
    _exported("KITTI segmentation, Datumaro's", "kitti_segmentation", "mask", why=_MAPS),
    _exported("LabelMe XML, boxes", "label_me", "box"),
    _exported("LabelMe XML, polygons", "label_me", "polygon"),
    _exported("MNIST, idx", "mnist", "label"),
    _exported("Open Images, boxes", "open_images", "box"),
    _exported("Open Images, labels", "open_images", "label"),
    _exported("VGGFace2", "vgg_face2", "label"),
    _exported("Pascal VOC, boxes", "voc_detection", "box"),
    _exported("Pascal VOC, class maps", "voc_segmentation", "mask", why=_MAPS),
    _exported("Pascal VOC, labels alone", "voc_classification", "label"),
    _exported("YOLO, Darknet's", "yolo", "box"),
    _exported("YOLO, Ultralytics'", "yolo_ultralytics", "box", "yolo"),
    _exported("CIFAR", "cifar", "label", options=(("allow_pickle", True),)),
    _exported("CamVid, Datumaro's", "camvid", "mask", why=_MAPS),
    FormatCase("LabelMe JSON, AnyLabeling", sets.labelme_json),
    FormatCase("VGG Image Annotator", sets.via),
    FormatCase("Label Studio JSON", sets.label_studio),
    FormatCase("Create ML", sets.createml, "roboflow_create_ml"),
    FormatCase("VoTT JSON", sets.vott_json, "vott_json"),
    FormatCase("VoTT CSV", sets.vott_csv, "vott_csv"),
    FormatCase("WIDER FACE", sets.widerface, "wider_face", "the event of a photo is no label beside its faces"),
    FormatCase("MOT", sets.mot, "mot_seq"),
    FormatCase("MOTS", sets.mots, "mots"),
    FormatCase(
        "Segment Anything", sets.segment_anything, "segment_anything", "box and mask of one object are one object here"
    ),
    FormatCase("ICDAR text localization", sets.icdar_localization, "icdar_text_localization"),
    FormatCase("Market-1501", sets.market1501, "market1501", "Datumaro makes the person an attribute, not a label"),
    FormatCase("LFW", sets.lfw, "imagenet"),
    FormatCase("MARS", sets.mars, "mars", "Datumaro's importer ends in an error"),
    FormatCase("MPII JSON", sets.mpii_json, "mpii_json"),
    FormatCase("MNIST, CSV", sets.mnist_csv, "mnist_csv"),
    FormatCase("Cityscapes", maps.cityscapes, "cityscapes", _MAPS),
    FormatCase("Mapillary Vistas", maps.mapillary, "mapillary_vistas", _MAPS),
    FormatCase("KITTI detection", maps.kitti_detection, "kitti_detection"),
    FormatCase("KITTI segmentation", maps.kitti_segmentation, "kitti_segmentation", _MAPS),
    FormatCase("SYNTHIA-RAND", maps.synthia_rand, "synthia_rand", _MAPS),
    FormatCase("CamVid", maps.camvid),
    FormatCase("ADE20K scene parsing", maps.ade20k),
    FormatCase("Roboflow, masks", maps.roboflow_masks),
    FormatCase("Roboflow, table of boxes", maps.roboflow_boxes_csv),
    FormatCase("Roboflow, table of labels", maps.roboflow_multilabel_csv, "roboflow_multiclass"),
    FormatCase("Roboflow VOC", maps.roboflow_voc, "roboflow_voc"),
    FormatCase("Roboflow COCO", maps.roboflow_coco, "roboflow_coco"),
    FormatCase("Roboflow YOLO", maps.yolo, "roboflow_yolo"),
    FormatCase("Roboflow YOLO, oriented", partial(maps.yolo, oriented=True)),
    FormatCase("Roboflow, oriented, in pixels", maps.roboflow_obb, "dota"),
    FormatCase("DOTA", maps.dota, "dota"),
    FormatCase("VOC with lists of classes alone", maps.voc_labels_only, "voc_classification"),
    _exported("LFW, Datumaro's", "lfw", "label"),
    _exported("Datumaro's zip of images", "image_zip", "label", file="default.zip"),
    FormatCase(
        "Geti, zip of a project",
        people.geti,
        "datumaro",
        "the label 'No object' of an image without objects is no annotation here",
        file="Pets detection-Dataset.zip",
        inside="unpacked",
    ),
    FormatCase("CelebA, attributes", people.celeba, why=_FACES),
    FormatCase("CelebA, landmarks", people.celeba, why=_FACES, options=(("task", "keypoint_detection"),)),
    FormatCase("CelebA, persons", people.celeba, why=_FACES, options=(("task", "classification"),)),
    FormatCase(
        "MPII", people.mpii_mat, "mpii", "box and joints are one object here; joints that are missing keep their places"
    ),
    FormatCase("MOTS without names", people.mots_unnamed),
    FormatCase(
        "ADE20K, full set of 2016", people.ade20k_2016, "ade20k2017", "parts are left out here", inside="images"
    ),
    FormatCase(
        "ADE20K, full set of 2021",
        people.ade20k_2021,
        "ade20k2020",
        "outline, mask and class map of one object are one object here",
    ),
    FormatCase("Mapillary Vistas 1", people.mapillary_v1, "mapillary_vistas", _MAPS),
    FormatCase("MVTec AD", defects.mvtec, "mvtec_segmentation", "image and mask are one here"),
    FormatCase("MVTec LOCO AD", defects.mvtec_loco, "mvtec_segmentation", "the masks of one image are one here"),
    FormatCase("BTAD", defects.btad, "mvtec_segmentation", "image and mask are one here"),
    FormatCase("VisA", defects.visa),
    FormatCase("Real-IAD", defects.real_iad),
    FormatCase("KolektorSDD2", defects.ksdd2),
    FormatCase("Good parts, defects and masks", defects.good_and_defects),
)


def counts(data: Dataset) -> dict[str, int]:
    """How many annotations of each kind a data set has; the box of an outline does not count beside it."""
    found: Counter[str] = Counter()
    for sample in data:
        outlines = sum(map(bool, sample.polygons or ())), sum(item is not None for item in sample.rles or ())
        found["labels"] += len(sample.labels)
        found["polygons"] += outlines[0]
        found["masks"] += outlines[1]
        points = 0 if sample.keypoints is None else len(sample.keypoints)
        found["keypoints"] += points
        boxes = 0 if sample.boxes is None else len(sample.boxes)
        found["boxes"] += max(boxes - sum(outlines) - points, 0)
        found["class maps" if sample.anomalous is None else "defect masks"] += sample.mask_path is not None
    return {kind: found[kind] for kind in _COUNTED if found[kind]}


def datumaro_counts(root: Path, name: str) -> tuple[int, int] | None:
    """Items and annotations that Datumaro finds; ``None`` if it fails."""
    import datumaro as dm

    try:
        data = dm.Dataset.import_from(str(root), name)
        return len(data), sum(len(item.annotations) for item in data)
    except Exception:
        return None


def row(case: FormatCase, root: Path) -> str:
    """The line of the table for one format, its data set made in an empty folder."""
    case.make(root)
    data = load_dataset(root / case.file, cache=False, **dict(case.options))
    found = counts(data)
    told = ", ".join(f"{count} {kind}" for kind, count in found.items())
    other = datumaro_counts(root / case.inside, case.datumaro) if case.datumaro else None
    if not case.datumaro:
        compared = case.why or "reads none of this layout"
    elif other is None or not other[0]:
        compared = "Datumaro's importer ends in an error" if other is None else "reads none of this layout"
    elif other == (len(data), sum(found.values())):
        compared = "equal"
    else:
        compared = case.why or f"DIFFERS: {other}"
    annotations = told or "none"
    option = "".join(f", {name}={value}" for name, value in case.options)
    return f"| {case.title} | `{data.format}`{option} | {data.task} | {len(data)} | {annotations} | {compared} |"


def page(rows: list[str]) -> str:
    """The whole page."""
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DRIVETRAIN_CACHE"] = f"{folder}/cache"
        PAGE.write_text(
            page([row(case, Path(folder) / str(number)) for number, case in enumerate(CASES)]), encoding="utf-8"
        )
    sys.stdout.write(f"{PAGE} written.\n")
