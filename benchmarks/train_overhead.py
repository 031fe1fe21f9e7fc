"""The overhead of training through drivetrain over a plain Lightning script.

Both sides train the same module with the same loader for the same epochs in separate processes, in turn; the
limit is a ratio of 1.05 of the wall time around ``fit`` and ``train``. Run: python benchmarks/train_overhead.py
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
SMOKE = [["--epochs", "1", "--rounds", "1"]]

LIMIT = 1.05


def train_once(side: str, epochs: int, folder: str) -> float:
    """Seconds of one training, without imports."""
    import lightning.pytorch as lightning
    import timm
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = timm.create_model("mobilenetv3_small_050", num_classes=10)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:  # noqa: ARG002
            loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
            self.log("val_loss", torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    torch.manual_seed(0)
    data = TensorDataset(torch.randn(640, 3, 64, 64), torch.arange(640) % 10)
    loaders = {"train": DataLoader(data, batch_size=32, shuffle=True), "val": DataLoader(data, batch_size=64)}
    module = Module()
    if side == "plain":
        from lightning.pytorch.callbacks import ModelCheckpoint
        from lightning.pytorch.loggers import CSVLogger

        keep = ModelCheckpoint(folder, monitor="val_loss", save_last=True)
        began = time.perf_counter()
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=epochs, callbacks=[keep], logger=CSVLogger(folder), enable_model_summary=False
        )
        trainer.fit(module, loaders["train"], loaders["val"])
        return time.perf_counter() - began
    from drivetrain import Engine

    began = time.perf_counter()
    Engine(module, loaders, work_dir=Path(folder) / "run", device="cpu").train(epochs)
    return time.perf_counter() - began


def measure(side: str, epochs: int) -> float:
    """One training in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", side, "--epochs", str(epochs), "--folder", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> int:
    """Print the ratio; the exit code says whether it is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["plain", "drivetrain"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default="")
    arguments = parser.parse_args()
    if arguments.side:
        print(train_once(arguments.side, arguments.epochs, arguments.folder))
        return 0
    times: dict[str, list[float]] = {"plain": [], "drivetrain": []}
    for number in range(arguments.rounds):
        for side in ("plain", "drivetrain") if number % 2 == 0 else ("drivetrain", "plain"):
            times[side].append(measure(side, arguments.epochs))
    ratio = statistics.median(times["drivetrain"]) / statistics.median(times["plain"])
    for side, seconds in times.items():
        print(f"{side}: {', '.join(f'{second:.2f}' for second in seconds)} s")
    print(f"ratio of the medians: {ratio:.3f} (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
