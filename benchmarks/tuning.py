"""The overhead of a search over its trainings, and the savings of pruning.

``--part waste``: 20 trials of a small timm network on two processes; how much of the processes' wall time is
not training. Training is from the first step of a trial to the end of its last epoch: forward, backward, reading the
images of the batches, validation. Everything else from the call of ``tune`` to its return, in every process, is waste:
starting the processes and importing the framework in each, creating engines, opening the data, closing runs, writing
the page, and idling while the last trial of another process ends. A trial takes about 16 s, which is short for a real
one; longer ones make the share smaller. Required: below 10 %. It takes three minutes on two idle cores.

``--part pruning``: the same search with and without pruning, with several seeds, on a test problem: the toy classifier
on noisy colours, whose validation loss depends on the learning rate, the momentum and the batch size. Every epoch is
padded to the same duration (``--epoch_seconds``), like a real training. Required: as good a value in half the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from costly_toy import Costly, CostlyModel
from PIL import Image

from drivetrain import Engine
from drivetrain.runs.progress import SilentProgress
from drivetrain.types import TuneResult

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [
    ["--part", "waste", "--trials", "4"],
    ["--part", "pruning", "--trials", "3", "--seeds", "1", "--epoch_seconds", "0.01"],
]

EPOCHS = 18
_COLOURS = ((150, 110, 110), (110, 150, 110), (110, 110, 150), (140, 140, 110))


def make_images(root: Path, *, per_class: int, size: int, noise: float, seed: int = 0) -> Path:
    """Class folders of noisy colours."""
    random = np.random.default_rng(seed)
    for subset, count in (("train", per_class), ("val", per_class // 2)):
        for number, colour in enumerate(_COLOURS):
            folder = root / subset / f"class{number}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.asarray(colour) + random.normal(0, noise, (1, 1, 3)) + random.normal(0, 60, (size, size, 3))
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return root


def waste(folder: Path, *, trials: int, workers: int) -> float:
    """The share of the processes' time that was not training."""
    data = make_images(folder / "images", per_class=120, size=64, noise=30)
    engine = Engine("timm:test_resnet", data, work_dir=folder / "search", device="cpu")
    engine.progress = SilentProgress()
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "model.drop_rate": [0.0, 0.1, 0.2, 0.3]}
    began = time.monotonic()
    result = engine.tune(
        10, space=space, trials=trials, workers=workers, pruner="none", image_size=64, batch_size=16, num_workers=0
    )
    wall = time.monotonic() - began
    training = sum(trial.training_seconds for trial in result.trials)
    share = 1 - training / (workers * wall)
    print(f"{trials} trials on {workers} processes: {wall:.1f} s, {training:.1f} s of training; waste {share:.1%}")
    around = [trial.seconds - trial.training_seconds for trial in result.trials]
    print(
        f"beside training: {statistics.mean(around[:workers]):.2f} s in the first trial of each process (imports), "
        f"{statistics.mean(around[workers:]):.2f} s in the others; {workers * wall - sum(around) - training:.1f} s "
        "of all processes outside of trials"
    )
    return share


def search(folder: Path, data: Path, *, seed: int, pruner: Any, trials: int) -> tuple[TuneResult, float]:
    """One search of the test problem, and its duration in seconds."""
    engine = Costly(CostlyModel, data, work_dir=folder / f"{pruner}-{seed}")
    engine.progress = SilentProgress()
    space = {
        "learning_rate": {"low": 1e-4, "high": 100.0, "log": True},
        "model.momentum": {"low": 0.0, "high": 0.99},
        "batch_size": [4, 8, 16, 32],
    }
    began = time.monotonic()
    result = engine.tune(EPOCHS, space=space, trials=trials, workers=2, seed=seed, pruner=pruner, metric="val/loss")
    return result, time.monotonic() - began


def pruning(folder: Path, *, seeds: int, trials: int) -> None:
    """Both searches for each seed."""
    data = make_images(folder / "images", per_class=40, size=16, noise=40)
    rows = []
    for seed in range(seeds):
        plain, plain_seconds = search(folder, data, seed=seed, pruner="none", trials=trials)
        pruned, pruned_seconds = search(folder, data, seed=seed, pruner="halving", trials=trials)
        rows.append((plain.value, pruned.value, pruned_seconds / plain_seconds))
        print(
            f"seed {seed}: all {plain.value:.4f} in {plain_seconds:.1f} s; pruned {pruned.value:.4f} in "
            f"{pruned_seconds:.1f} s ({pruned.count('pruned')} of {trials} ended early); time {rows[-1][2]:.2f}"
        )
    better = sum(pruned <= plain * 1.02 for plain, pruned, _ in rows)
    print(f"as good (within 2 % of the loss, or better) in {better} of {seeds}; median of the losses: all "
          f"{statistics.median(row[0] for row in rows):.4f}, pruned {statistics.median(row[1] for row in rows):.4f}; "
          f"median of the time {statistics.median(row[2] for row in rows):.2f}")  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("waste", "pruning"), required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epoch_seconds", type=float, default=0.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.part == "waste":
            waste(Path(folder), trials=options.trials, workers=options.workers)
        else:
            os.environ["EPOCH_SECONDS"] = str(options.epoch_seconds)
            pruning(Path(folder), seeds=options.seeds, trials=options.trials)


if __name__ == "__main__":
    main()
