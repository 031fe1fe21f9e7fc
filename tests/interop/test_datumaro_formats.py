"""What Datumaro writes is read as what it is, or refused: never as classes that are none."""
# ruff: noqa: TID253 - the formats are written by their own library

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivetrain.data import load_dataset
from drivetrain.errors import DataFormatError

pytest.importorskip("datumaro")

import datumaro
from datumaro.components.annotation import Annotation, Bbox, Label
from datumaro.components.media import Image

NAMES = ("cat", "dog")
#: What is written -> the format that it is read as, and the task.
READ = {
    ("labels", "coco"): ("coco", "classification"),
    ("labels", "cvat"): ("cvat", "classification"),
    ("labels", "datumaro"): ("datumaro", "classification"),
    ("labels", "imagenet"): ("image_folder", "classification"),
    ("labels", "imagenet_txt"): ("imagenet_txt", "classification"),
    ("labels", "imagenet_with_subset_dirs"): ("image_folder", "classification"),
    ("labels", "lfw"): ("image_folder", "classification"),
    ("labels", "open_images"): ("open_images", "classification"),
    ("labels", "image_dir"): ("unannotated", "anomaly"),
    ("boxes", "coco"): ("coco", "detection"),
    ("boxes", "cvat"): ("cvat", "detection"),
    ("boxes", "datumaro"): ("datumaro", "detection"),
    ("boxes", "kitti_detection"): ("kitti", "detection"),
    ("boxes", "open_images"): ("open_images", "detection"),
    ("boxes", "voc"): ("voc", "detection"),
    ("boxes", "wider_face"): ("wider_face", "detection"),
    ("boxes", "yolo"): ("yolo", "detection"),
    ("boxes", "yolo_ultralytics"): ("yolo", "detection"),
}
#: Formats that have no place for what is written, so that images and files remain that say nothing of it.
REFUSED = (
    "camvid", "icdar_text_segmentation", "icdar_word_recognition", "kitti_segmentation", "lfw", "market1501",
    "mots_png",
)  # fmt: skip


def write(root: Path, kind: str, name: str) -> Path:
    """A data set of six images in a format."""
    items = [
        datumaro.DatasetItem(f"{subset}{number}", subset=subset, media=picture(number), annotations=truth(kind, number))
        for subset, count in (("train", 4), ("val", 2))
        for number in range(count)
    ]
    source = datumaro.Dataset.from_iterable(items, categories=list(NAMES))
    source.export(str(root / "set"), name, save_media=True)
    return root / "set"


def picture(seed: int) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    return Image.from_numpy(pixels, ext=".jpg")


def truth(kind: str, number: int) -> list[Annotation]:
    if kind == "labels":
        return [Label(number % 2)]
    return [Bbox(5, 5, 20, 10, label=0, id=1, group=1), Bbox(20, 20, 20, 10, label=1, id=2, group=2)]


@pytest.mark.parametrize(("kind", "name"), READ)
def test_it_is_read_as_what_it_is(tmp_path: Path, kind: str, name: str) -> None:
    data = load_dataset(write(tmp_path, kind, name))
    assert (data.format, data.task.value) == READ[kind, name]
    assert len(data) == 6
    assert not data.facts.left_out
    if data.is_annotated:
        assert data.label_names == NAMES
        counts = data.class_counts()
        assert counts == ({"cat": 3, "dog": 3} if kind == "labels" else {"cat": 6, "dog": 6})


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(tmp_path: Path, name: str) -> None:
    root = write(tmp_path, "boxes", name)
    with pytest.raises(DataFormatError, match="neither class folders nor annotations of a known format"):
        load_dataset(root)
    assert len(load_dataset(root, "unannotated")) == 6
