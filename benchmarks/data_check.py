"""The speed of ``check_dataset`` compared with only decoding the pictures on the same threads.

python benchmarks/data_check.py --images 10000
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "60", "--repeats", "1", "--height", "48", "--width", "64"]]
#: The check may take at most this many times as long as decoding alone.
LIMIT = 1.5


def write_pictures(root: Path, images: int, height: int, width: int) -> None:
    """JPEG pictures of coarse noise, which compress like photos, in two class folders."""
    random = np.random.default_rng(0)
    for number in range(images):
        coarse = random.integers(0, 255, (height // 16, width // 16, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        path = root / f"class{number % 2}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        picture.save(path, quality=90)


def seconds(call: Callable[[], object]) -> float:
    """The wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> int:
    """Print both rates and their ratio; the exit code is 1 if it exceeds the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DRIVETRAIN_CACHE"] = str(Path(folder) / "cache")
        from drivetrain import check_dataset, load_dataset
        from drivetrain.images.read import read_image
        from drivetrain.machine.resources import core_count

        root = Path(folder) / "pictures"
        write_pictures(root, arguments.images, arguments.height, arguments.width)
        data = load_dataset(root)

        def decode(paths: tuple[str, ...]) -> None:
            for path in paths:
                read_image(path)

        def decode_all() -> None:
            chunks = [data.paths[start : start + 16] for start in range(0, len(data), 16)]
            with ThreadPoolExecutor(core_count()) as pool:
                list(pool.map(decode, chunks))

        ratios = []
        for _ in range(arguments.repeats):  # in turn, so that both see the same machine
            alone, checked = seconds(decode_all), seconds(lambda: check_dataset(data))
            ratios.append(checked / alone)
            print(f"decode {len(data) / alone:7.0f} images/s, check {len(data) / checked:7.0f} images/s")
    ratio = min(ratios)
    print(f"check / decode time, best of {len(ratios)}: {ratio:.2f} (limit {LIMIT}), load {os.getloadavg()[0]:.1f}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
