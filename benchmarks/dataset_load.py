"""How long COCO data take to load: at first, from the cache, in classic Datumaro and in pycocotools, and for engines.

python benchmarks/dataset_load.py --images 1000 10000 100000 --repeats 3

Each figure is of a process of its own, after its imports. A limit has its own line with what was measured; those of
100,000 images are judged there alone, and the exit code is 1 if one is broken.
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
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from drivetrain.data import load_dataset

#: From so many images on the limits count.
FULL = 100_000
#: The first read may take so many times less than Datumaro's at least, the second start and an engine so many seconds.
FASTER, SECOND_START, FED = 3.0, 0.5, 3.0
#: Megabytes that the first read may take in all, and an engine beyond the data set.
MEMORY, MORE_MEMORY = 1500.0, 500.0
#: The smallest runs, by which the tests see that the script still works.
SMOKE = [["--images", "20", "40", "--repeats", "1"]]


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


def in_process(
    call: Callable[[Any], object], root: Path, prepare: Callable[[Path], Any] | None = None
) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and MB of a call in a process of its own, after its imports.

    Args:
        call: what is measured.
        root: of the data.
        prepare: makes what the call is given out of the folder; the memory is then what the call takes beyond it.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            given = root if prepare is None else prepare(root)
            before = 0.0 if prepare is None else resident()
            start, cpu = time.perf_counter(), time.process_time()
            kept = call(given)
            result = (time.perf_counter() - start, time.process_time() - cpu)
            peak = (peak_memory() if prepare is None else resident()) - before
            del kept
        os.write(write, json.dumps([*result, peak]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    wall, cpu, peak = json.loads(content)
    return wall, cpu, peak


def peak_memory() -> float:
    """The most MB that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """The MB that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def by_drivetrain(root: Path) -> object:
    """The first read: nothing is in the cache."""
    return load_dataset(root, cache=False)


def from_cache(root: Path) -> object:
    """The second start."""
    return load_dataset(root)


def by_pycocotools(root: Path) -> object:
    """The annotations alone."""
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


def lightning() -> Callable[[Any], object]:
    """The loaders of training and validation."""
    scenes = import_module("drivetrain.engines.lightning.vision.scenes")
    spec = import_module("drivetrain.types").ImageSpec(height=64, width=64)
    options = import_module("drivetrain.types.options").TrainOptions(batch_size=8)
    run = SimpleNamespace(note=print)
    return lambda data: scenes.scene_loaders(data, spec, data.task, options, run)


def ultralytics() -> Callable[[Any], object]:
    """The labels of the training images."""
    records = import_module("drivetrain.engines.ultralytics.data").records
    return lambda data: records(data.subset("train"), data.task)


#: What each engine makes of a data set before its first step, by the package that it needs.
FEEDS = {"torch": lightning, "ultralytics": ultralytics}


def fed(make: Callable[[], Callable[[Any], object]], root: Path) -> tuple[float, float, float]:
    """The figures of feeding an engine; its imports and the second start are not counted."""
    return in_process(lambda given: given[0](given[1]), root, lambda place: (make(), load_dataset(place)))


def told(what: str, measured: float, limit: float, *, least: bool = False, judged: bool) -> bool:
    """Print a figure beside its limit; returns whether it is broken, where it is judged."""
    broken = judged and (measured < limit if least else measured > limit)
    verdict = ("BROKEN" if broken else "kept") if judged else "not judged"
    print(f"  {what}: {measured:.2f} (at {'least' if least else 'most'} {limit:g}, {verdict})")
    return broken


def measure(images: int, repeats: int) -> tuple[float, bool]:
    """Print the figures of one size; returns the time of the first read, and whether a limit is broken."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DRIVETRAIN_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "coco"
        write_coco(root, images)
        load_dataset(root)  # fills both caches, ours and that of the disk
        found = {name: min(in_process(reader, root) for _ in range(repeats)) for name, reader in READERS.items()}
        engines = {
            make.__name__: min(fed(make, root) for _ in range(repeats))
            for package, make in FEEDS.items()
            if find_spec(package) is not None
        }
    print(f"{images} images, {5 * images} objects, best of {repeats}, load {os.getloadavg()[0]:.1f}")
    for name, (wall, cpu, peak) in found.items():
        print(f"  {name:12} {wall:8.3f} s  {cpu:8.3f} s CPU  {peak:6.0f} MB at most")
    for name, (wall, cpu, more) in engines.items():
        print(f"  {name:12} {wall:8.3f} s  {cpu:8.3f} s CPU  {more:6.0f} MB more, to be fed")
    first, judged = found["first read"], images >= FULL
    print(f"  first read, with every image checked / pycocotools: {first[0] / found['pycocotools'][0]:.2f}")
    print(f"  second start / first read: {found['second start'][0] / first[0]:.3f}")
    broken = told("Datumaro / first read", found["Datumaro"][0] / first[0], FASTER, least=True, judged=judged)
    broken |= told("first read, MB", first[2], MEMORY, judged=judged)
    broken |= told("second start, s", found["second start"][0], SECOND_START, judged=judged)
    for name, (wall, _, more) in engines.items():
        broken |= told(f"{name} fed, s", wall, FED, judged=judged)
        broken |= told(f"{name} fed, MB more", more, MORE_MEMORY, judged=judged)
    return first[0], broken


def main() -> int:
    """Print the times and their ratios for each size, and how the time of the first read grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    import_module("datumaro")  # before the clock runs
    results = [measure(images, arguments.repeats) for images in arguments.images]
    if len(results) > 1:
        slope = np.polyfit(np.log(arguments.images), np.log([first for first, _ in results]), 1)[0]
        print(f"time of the first read grows as the number of images to the power of {slope:.2f}")
    return int(any(broken for _, broken in results))


if __name__ == "__main__":
    raise SystemExit(main())
