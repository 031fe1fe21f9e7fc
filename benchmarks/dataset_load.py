"""How long a COCO data set takes to load: at first, from the cache, and in pycocotools.

python benchmarks/dataset_load.py --images 10000
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

#: The smallest runs, by which the tests see that the script still works.
SMOKE = [["--images", "40", "--repeats", "1"]]


def write_coco(root: Path, images: int, objects: int = 5) -> Path:
    """Small JPEG files with boxes and polygons, 5 for each image."""
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


def seconds(call: Callable[[], object]) -> float:
    """CPU and wall time are close here; the wall is what a user waits for."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DRIVETRAIN_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "coco"
        file = write_coco(root, arguments.images)
        from pycocotools.coco import COCO

        from drivetrain.data import load_dataset

        def peer() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                COCO(str(file))

        load_dataset(root, cache=False)  # imports and the disk cache of the system
        best = {
            "first load": min(seconds(lambda: load_dataset(root, cache=False)) for _ in range(arguments.repeats)),
            "pycocotools": min(seconds(peer) for _ in range(arguments.repeats)),
        }
        data = load_dataset(root)
        best["cached load"] = min(seconds(lambda: load_dataset(root)) for _ in range(arguments.repeats))
        best["iterate"] = min(seconds(lambda: sum(1 for _ in data)) for _ in range(arguments.repeats))
        best["split"] = min(seconds(lambda: data.with_splits()) for _ in range(arguments.repeats))
    print(f"{arguments.images} images, best of {arguments.repeats}, load {os.getloadavg()[0]:.1f}")
    for name, value in best.items():
        print(f"{name:12} {value:7.3f} s")
    print(f"cached / first load: {best['cached load'] / best['first load']:.3f}")
    print(f"cached / pycocotools: {best['cached load'] / best['pycocotools']:.3f}")
    print(f"first load (checks every image) / pycocotools: {best['first load'] / best['pycocotools']:.2f}")


if __name__ == "__main__":
    main()
