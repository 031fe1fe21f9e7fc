"""What a class activation map costs: the time of `explain` by CAM over that of `predict`, in one run.

Run: ``python benchmarks/explain_cost.py [--model timm:mobilenetv3_small_100] [--images 200] [--size 224]``.

The classifier has random weights; images are files, answers come from the model and from its artefact in turns, and the
medians are compared. The limit of the ratio is 1.3.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from drivetrain import Engine
from drivetrain.runs.progress import SilentProgress

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--model", "timm:test_resnet", "--images", "6", "--size", "64", "--rounds", "1"]]
LIMIT = 1.3


def pictures(folder: Path, count: int) -> None:
    """Smooth JPEG pictures of 640 x 480 in two classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / "train" / ("first", "second")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=90)


def seconds(ask: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def ratio(predict: Callable[[], object], explain: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median seconds of both, taken in turns after one call of each."""
    seconds(predict), seconds(explain)
    pairs = [(seconds(predict), seconds(explain)) for _ in range(rounds)]
    before, after = zip(*pairs, strict=True)
    return statistics.median(before), statistics.median(after)


def main() -> int:
    """Measure model and artefact, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="timm:mobilenetv3_small_100")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures(folder / "data", options.images)
        engine = Engine(options.model, folder / "data", work_dir=folder / "run", device="cpu")
        engine.progress = SilentProgress()
        engine.train(1, image_size=options.size, num_workers=0)
        files = sorted(str(path) for path in (folder / "data").rglob("*.jpg"))
        worst = 0.0
        exported = Engine(engine.export().path, folder / "data", work_dir=folder / "artefact")
        for name, asked in (("model", engine), ("artefact", exported)):
            before, after = ratio(
                lambda asked=asked: asked.predict(files),
                lambda asked=asked: asked.explain(files, method="cam"),
                options.rounds,
            )
            worst = max(worst, after / before)
            each = [f"{1e3 * value / len(files):.2f} ms" for value in (after, before)]
            print(f"{name}: explain {each[0]}, predict {each[1]} an image, ratio {after / before:.2f} (limit {LIMIT})")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
