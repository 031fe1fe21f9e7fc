"""Small data sets of industrial inspection after their published descriptions: good parts, defects and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from published_sets import BOXES, SIZE, photo, put


def defect_mask(path: Path, value: int = 255, index: int = 0) -> Path:
    """A mask that marks one of the two places."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(SIZE, np.uint8)
    x, y, width, height = BOXES[index]
    pixels[y : y + height, x : x + width] = value
    Image.fromarray(pixels).save(path)
    return path


def mvtec(root: Path) -> None:
    """MVTec AD: ``train/good``, kinds of defects in ``test``, ``000_mask.png`` in ``ground_truth``."""
    for number in range(3):
        photo(root / "train" / "good" / f"{number:03}.png")
        photo(root / "test" / "good" / f"{number:03}.png")
        photo(root / "test" / "scratch" / f"{number:03}.png")
        defect_mask(root / "ground_truth" / "scratch" / f"{number:03}_mask.png")


def mvtec_loco(root: Path) -> None:
    """MVTec LOCO AD: ``validation``, and a folder of masks for each image, one for each defect on it."""
    for number in range(2):
        for folder in ("train/good", "validation/good", "test/good", "test/logical_anomalies"):
            photo(root / folder / f"{number:03}.png")
        photo(root / "test" / "structural_anomalies" / f"{number:03}.png")
        defect_mask(root / "ground_truth" / "logical_anomalies" / f"{number:03}" / "000.png", 234)
        for part in (0, 1):
            defect_mask(root / "ground_truth" / "structural_anomalies" / f"{number:03}" / f"{part:03}.png", 252, part)
    put(root / "defects_config.json", [{"defect_name": "missing", "pixel_value": 234, "saturation_threshold": 1}])


def btad(root: Path) -> None:
    """BTAD: ``ok`` and ``ko``, images as BMP, masks as PNG."""
    for number in range(2):
        photo(root / "train" / "ok" / f"{number:04}.bmp")
        photo(root / "test" / "ok" / f"{number:04}.bmp")
        photo(root / "test" / "ko" / f"{number:04}.bmp")
        defect_mask(root / "ground_truth" / "ko" / f"{number:04}.png")


def visa(root: Path) -> None:
    """VisA, one object of it: ``Data/Images``, ``Data/Masks`` and a table that names the defects."""
    rows: list[tuple[str, ...]] = [("image", "label", "mask")]
    for number in range(3):
        photo(root / "Data" / "Images" / "Normal" / f"{number:04}.JPG")
        photo(root / "Data" / "Images" / "Anomaly" / f"{number:03}.JPG")
        defect_mask(root / "Data" / "Masks" / "Anomaly" / f"{number:03}.png", number + 1)
        rows.append((f"candle/Data/Images/Normal/{number:04}.JPG", "normal", ""))
        marked = f"candle/Data/Masks/Anomaly/{number:03}.png"
        rows.append((f"candle/Data/Images/Anomaly/{number:03}.JPG", "chunk of wax missing", marked))
    put(root / "image_anno.csv", rows)


def real_iad(root: Path) -> None:
    """Real-IAD, one product of it: the lists for training and test in a ``.json``, masks beside the images."""
    lists: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}
    images = root / "realiad_1024" / "audiojack"
    for number in range(4):
        name = f"OK/S{number:04}/audiojack_{number:04}_OK_C1_20230922.jpg"
        photo(images / name)
        entry = {"category": "audiojack", "anomaly_class": "OK", "image_path": name, "mask_path": None}
        lists["train" if number < 2 else "test"].append(entry)
    for number in range(2):
        stem = f"NG/BX/S{number:04}/audiojack_{number:04}_NG_BX_C1_20230922"
        photo(images / f"{stem}.jpg")
        defect_mask(images / f"{stem}.png")
        names = {"image_path": f"{stem}.jpg", "mask_path": f"{stem}.png"}
        lists["test"].append({"category": "audiojack", "anomaly_class": "BX", **names})
    meta = {"pre_transform": False, "normal_class": "OK", "prefix": "audiojack/"}
    put(root / "realiad_jsons" / "realiad_jsons" / "audiojack.json", {"meta": meta, **lists})


def ksdd2(root: Path) -> None:
    """KolektorSDD2: beside each image ``x_GT.png``, black where there is no defect."""
    for subset, start in (("train", 10000), ("test", 20000)):
        for number in range(3):
            photo(root / subset / f"{start + number}.png")
            defect_mask(root / subset / f"{start + number}_GT.png", 255 if number == 1 else 0)


def good_and_defects(root: Path) -> None:
    """No published set: what people have, a folder of good parts, one for each defect, and masks."""
    for number in range(3):
        photo(root / "good" / f"{number}.jpg")
        photo(root / "crack" / f"{number}.jpg")
        defect_mask(root / "masks" / "crack" / f"{number}.png")
