"""The speed-up of two shards, each on a core of its own, over the whole on one core, with the command that users type.

    python benchmarks/shards.py --images 2000

The clock of each process begins when it has predicted its first images, so that what counts is the prediction and not
the import. Checks that the two shards have every image once; the exit code is 1 if not, or if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from predict_folder import make_images, make_models

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "6", "--rounds", "1", "--model", "mobilenetv3_small_050"]]

SPEED_UP = 1.8  # of two workers over one, each held to one core


def predict(artifact: Path, images: Path, shard: str, core: int) -> float:
    """Predict in this process, on one core; the seconds it takes after a warm-up."""
    os.sched_setaffinity(0, {core})
    from drivetrain import Engine

    engine = Engine(artifact)
    engine.predict(images, shard="1/2")
    start = time.perf_counter()
    answers = engine.predict(images, shard=shard)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "paths": [item.path for item in answers]}))
    return seconds


def together(artifact: Path, images: Path, shards: list[str]) -> tuple[float, list[str]]:
    """The shards at once, each on a core of its own: the seconds of the slowest, and the images of all."""
    cores = sorted(os.sched_getaffinity(0))
    words = [sys.executable, __file__, "--child", str(artifact), "--folder", str(images)]
    running = [
        subprocess.Popen([*words, "--shard", shard, "--core", str(core)], stdout=subprocess.PIPE, text=True)
        for shard, core in zip(shards, cores, strict=False)
    ]
    answers = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    return max(answer["seconds"] for answer in answers), [path for answer in answers for path in answer["paths"]]


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="mobilenetv3_small_100")
    for hidden in ("--child", "--folder", "--shard"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.child:
        predict(Path(settings.child), Path(settings.folder), settings.shard, settings.core)
        return 0
    if len(os.sched_getaffinity(0)) < 2:
        print("This needs two cores.")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_images(folder / "images", settings.images)
        artifact, _ = make_models(folder, settings.model)
        ratios, complete = [], True
        for _ in range(settings.rounds):  # in turn, so that both see the same machine
            alone, whole = together(artifact.path, folder / "images", ["1/1"])
            shared, parts = together(artifact.path, folder / "images", ["1/2", "2/2"])
            ratios.append(alone / shared)
            complete &= sorted(whole) == sorted(parts) == [str(file) for file in files]
            print(f"one worker {len(files) / alone:7.1f} images/s, two {len(files) / shared:7.1f} images/s")
    ratio = statistics.median(ratios)
    print(f"every image once: {'yes' if complete else 'NO'}")
    print(f"{'PASS' if ratio >= SPEED_UP else 'FAIL'}  two shards / one: {ratio:.2f} (at least {SPEED_UP})")
    return 0 if complete and ratio >= SPEED_UP else 1


if __name__ == "__main__":
    sys.exit(main())
