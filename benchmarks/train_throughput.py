"""Training images per second of drivetrain and of a minimal PyTorch loop with two workers, on JPEG files.

Both sides train the same timm network on the same generated 256 px files, in separate processes, in turn. The
rate is over all epochs without validation: the plain loop has none, drivetrain's is switched off. The limit is a
ratio of 1. Run: python benchmarks/train_throughput.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--epochs", "1", "--images", "80", "--rounds", "1"]]

LIMIT = 1.0
CLASSES = 10


def make_images(root: Path, count: int) -> None:
    """Class folders of JPEG files: smooth colours with some noise, about as large as photographs."""
    import cv2
    import numpy as np

    random = np.random.default_rng(0)
    for number in range(count):
        folder = root / "train" / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        pixels = cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        pixels += random.integers(-12, 12, pixels.shape).astype(np.int16)
        cv2.imwrite(str(folder / f"{number}.jpg"), np.clip(pixels, 0, 255).astype(np.uint8))
    for number in range(CLASSES):
        source = next((root / "train" / f"class{number}").glob("*.jpg"))
        for subset in ("val", "test"):
            (root / subset / f"class{number}").mkdir(parents=True)
            (root / subset / f"class{number}" / source.name).write_bytes(source.read_bytes())


def plain_loop(root: Path, model: str, size: int, batch: int, epochs: int) -> float:
    """Images per second of a hand-written loop: torchvision's ImageFolder, two workers, AdamW."""
    import timm
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    change = transforms.Compose(
        [transforms.RandomResizedCrop(size, scale=(0.64, 1.0)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    )
    data = datasets.ImageFolder(str(root / "train"), change)
    loader = DataLoader(data, batch, shuffle=True, num_workers=2, persistent_workers=True)
    net = timm.create_model(model, num_classes=CLASSES)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    began = time.perf_counter()
    for _ in range(epochs):
        for images, targets in loader:
            loss = torch.nn.functional.cross_entropy(net(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return epochs * len(data) / (time.perf_counter() - began)


def through_drivetrain(root: Path, model: str, size: int, batch: int, epochs: int) -> float:
    """Images per second of ``Engine.train`` with defaults except for size and batch; validated once, at the end."""
    import lightning.pytorch as lightning

    from drivetrain import Engine

    class Clock(lightning.Callback):
        began = ended = 0.0

        def on_train_epoch_start(self, *_: Any) -> None:
            self.began = self.began or time.perf_counter()

        def on_train_batch_end(self, *_: Any) -> None:
            self.ended = time.perf_counter()

    clock = Clock()
    engine = Engine(f"timm:{model}", root, work_dir=root.parent / f"run-{time.time_ns()}", device="cpu")
    engine.train(
        epochs,
        image_size=size,
        batch_size=batch,
        callbacks=[clock],
        val_check_interval=epochs,
        engine_args={"limit_val_batches": 0},
    )
    count = len(list((root / "train").rglob("*.jpg")))
    return epochs * count / (clock.ended - clock.began)


def measure(side: str, root: Path, arguments: argparse.Namespace) -> float:
    """One training in a new process."""
    command = [sys.executable, __file__, "--side", side, "--root", str(root)]
    for name in ("model", "size", "batch", "epochs"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> int:
    """Print the ratio; the exit code says whether it is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["plain", "drivetrain"])
    parser.add_argument("--root", type=Path)
    parser.add_argument("--model", default="mobilenetv3_small_100")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    settings = (arguments.model, arguments.size, arguments.batch, arguments.epochs)
    if arguments.side:
        run = plain_loop if arguments.side == "plain" else through_drivetrain
        print(run(arguments.root, *settings))
        return 0
    rates: dict[str, list[float]] = {"plain": [], "drivetrain": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        make_images(root, arguments.images)
        for number in range(arguments.rounds):
            for side in ("plain", "drivetrain") if number % 2 == 0 else ("drivetrain", "plain"):
                rates[side].append(measure(side, root, arguments))
    ratio = statistics.median(rates["drivetrain"]) / statistics.median(rates["plain"])
    for side, values in rates.items():
        print(f"{side}: {', '.join(f'{value:.0f}' for value in values)} images/s")
    print(f"ratio of the medians: {ratio:.2f} (limit {LIMIT})")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
