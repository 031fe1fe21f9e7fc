"""The cost of passing a large data set to Anomalib: seconds and memory until the first batch could be read.

The files are empty; nothing is decoded here.

    python benchmarks/anomalib_adapt.py --images 50000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from drivetrain.data import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.types import Task

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "300"]]


def dataset(folder: Path, count: int) -> Dataset:
    """Four fifths normal training images, and a validation set a third of which have a box around a defect."""
    records = []
    for number in range(count):
        training, anomalous = number % 5 != 0, number % 15 == 0
        path = folder / f"{number:08}.png"
        path.touch()
        records.append(
            Record(
                path=str(path),
                subset="train" if training else "val",
                size=(1024, 1024),
                image_id=number,
                labels=[1] if anomalous else [0],
                boxes=[10.0, 10.0, 90.0, 90.0] if anomalous else None,
                box_labels=[1] if anomalous else None,
                anomalous=anomalous,
            )
        )
    return Dataset(build_table(records), Facts(("good", "scratch"), Task.ANOMALY, format="made up"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        data = dataset(Path(folder), count)
        seconds, more, batches = measure(data)
    print(f"{count} images, {batches} batches: {seconds:.2f} s (limit 5), {more:.0f} MB more (limit 500)")


def measure(data: Dataset) -> tuple[float, float, list[int]]:
    """Seconds, megabytes, and the numbers of training and validation batches."""
    from drivetrain.engines.anomalib.threshold import prepare_training

    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    prepared = prepare_training(
        data,
        batch_size=32,
        eval_batch_size=8,
        num_workers=0,
        source="auto",
        seed=0,
        spec=None,
        keep_anomalous=False,
        needs_training=True,
    )
    prepared.module.setup()
    loaders = (prepared.module.train_dataloader(), prepared.module.val_dataloader())
    batches = [sum(1 for _ in loader.batch_sampler) for loader in loaders]
    seconds = time.perf_counter() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3, batches


if __name__ == "__main__":
    main()
