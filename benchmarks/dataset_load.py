"""The time to load a COCO data set: the first time, from the cache, with classic Datumaro and with pycocotools.

python benchmarks/dataset_load.py --images 1000 10000 100000 --repeats 1
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from drivetrain.data import load_dataset

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "20", "40", "--repeats", "1"]]


def write_coco(root: Path, images: int, objects: int = 5) -> Path:
    """Small JPEG files with boxes and polygons, 5 per image."""
    random = np.random.default_rng(0)
    (root / "images" / "train").mkdir(parents=True)
    (root / "annotations").mkdir()
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": f"c{i}"} for i in range(9)],
    }
    for index in range(images):
        name = f"{index:06}.jpg"
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(root / "images" / "train" / name)
        document["images"].append({"id": index, "file_name": name, "height": 32, "width": 32})
        for x, y, w, h in random.integers(1, 15, (objects, 4)).tolist():
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": index,
                    "category_id": x % 9 + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w / 2, y + h]],
                }
            )
    file = root / "annotations" / "instances_train.json"
    file.write_text(json.dumps(document))
    return file


def in_process(call: Callable[[Path], object], root: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of a call in a separate process, after its imports."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            start, cpu = time.perf_counter(), time.process_time()
            call(root)
            result = (time.perf_counter() - start, time.process_time() - cpu)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(write, json.dumps([*result, peak]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    wall, cpu, peak = json.loads(content)
    return wall, cpu, peak


def by_drivetrain(root: Path) -> object:
    """The first load, with an empty cache."""
    return load_dataset(root, cache=False)


def from_cache(root: Path) -> object:
    """The second load, from the cache."""
    return load_dataset(root)


def by_pycocotools(root: Path) -> object:
    """Only the annotations."""
    return COCO(str(root / "annotations" / "instances_train.json"))


def by_datumaro(root: Path) -> object:
    """Classic Datumaro, items and annotations."""
    import datumaro

    logging.disable(logging.ERROR)
    return len(datumaro.Dataset.import_from(str(root), "coco"))


READERS = {
    "first read": by_drivetrain,
    "Datumaro": by_datumaro,
    "pycocotools": by_pycocotools,
    "second start": from_cache,
}


def main() -> None:
    """Print the times and their ratios for each size, and how the time of the first load grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    import_module("datumaro")  # before the clock runs
    firsts = []
    for images in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DRIVETRAIN_CACHE"] = str(Path(folder) / "cache")
            root = Path(folder) / "coco"
            write_coco(root, images)
            load_dataset(root)  # fills both caches, ours and that of the disk
            found = {
                name: min(in_process(reader, root) for _ in range(arguments.repeats))
                for name, reader in READERS.items()
            }
        print(f"{images} images, {5 * images} objects, best of {arguments.repeats}, load {os.getloadavg()[0]:.1f}")
        for name, (wall, cpu, peak) in found.items():
            print(f"  {name:12} {wall:8.3f} s  {cpu:8.3f} s CPU  {peak:6.0f} MB at most")
        first = found["first read"][0]
        print(f"  Datumaro / first read: {found['Datumaro'][0] / first:.2f}")
        print(f"  first read, with every image checked / pycocotools: {first / found['pycocotools'][0]:.2f}")
        print(f"  second start / first read: {found['second start'][0] / first:.3f}")
        firsts.append(first)
    if len(firsts) > 1:
        slope = np.polyfit(np.log(arguments.images), np.log(firsts), 1)[0]
        print(f"time of the first read grows as the number of images to the power of {slope:.2f}")


if __name__ == "__main__":
    main()
