"""Training images per second and memory of drivetrain and of each source's own loop, for models that find objects.

torchvision: a plain loop over its CocoDetection with transforms v2, as its references have it. transformers: its
Trainer, with the model's own image processor. rfdetr: RFDETR.train. Both sides train the same model on the same
generated scenes, at the same size and batch, with the same number of worker threads or processes, in processes of their
own that take turns. Start-up is left out: two trainings of different length are subtracted.

Limits: a ratio of 1 for the speed, 1.1 for the memory. Run: python benchmarks/vision_throughput.py [--source NAME]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The smallest runs, by which the tests see that the script still works.
SMOKE = [
    ["--source", "torchvision", "--images", "8", "--rounds", "1", "--epochs", "1", "--size", "64"],
    ["--source", "transformers", "--images", "8", "--rounds", "1", "--epochs", "1", "--size", "64"],
    ["--source", "rfdetr", "--images", "8", "--rounds", "1", "--epochs", "1", "--size", "64"],
]

LIMIT, MEMORY_LIMIT = 1.0, 1.1
SOURCES = ("torchvision", "transformers", "rfdetr")
DETECTOR = "ssdlite320_mobilenet_v3_large"
RT_DETR: dict[str, Any] = {
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 32, 64, 128],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "encoder_in_channels": [32, 64, 128],
    "decoder_in_channels": [64, 64, 64],
    "d_model": 64,
    "encoder_hidden_dim": 64,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_queries": 30,
}


def make_scenes(root: Path, count: int, size: int) -> None:
    """The shapes of drivetrain's tests as COCO, and beside it in the layout that RF-DETR reads by itself."""
    from drivetrain.testing.data import coco

    coco(root / "coco", subsets={"train": count, "val": 4, "test": 4}, size=2 * size)
    for ours, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        folder = root / "roboflow" / theirs
        shutil.copytree(root / "coco" / "images" / ours, folder)
        document = json.loads((root / "coco" / "annotations" / f"instances_{ours}.json").read_text())
        (folder / "_annotations.coco.json").write_text(json.dumps(document))


# --- the sources' own loops ------------------------------------------------------------------------------------------


def torchvision_loop(root: Path, size: int, batch: int, epochs: int, workers: int) -> None:
    """As in torchvision's references: its data set, transforms v2 that change boxes too, a loop."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, models
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize((size, size)),
            v2.RandomAffine(0, translate=(0.15, 0.15), scale=(0.77, 1.3)),
            v2.ColorJitter(0.15, 0.15, 0.15),
            v2.SanitizeBoundingBoxes(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    source = root / "coco"
    plain = datasets.CocoDetection(
        source / "images" / "train", source / "annotations" / "instances_train.json", transforms=change
    )
    data = datasets.wrap_dataset_for_transforms_v2(plain, target_keys=("boxes", "labels"))
    loader = DataLoader(
        data, batch, shuffle=True, num_workers=workers, collate_fn=lambda rows: tuple(zip(*rows, strict=True))
    )
    net = models.get_model(DETECTOR, weights=None, weights_backbone=None, num_classes=3)
    net.transform.min_size, net.transform.max_size, net.transform.fixed_size = (size,), size, (size, size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net.train()
    for _ in range(epochs):
        for images, targets in loader:
            loss = sum(net(list(images), list(targets)).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def transformers_loop(root: Path, size: int, batch: int, epochs: int, workers: int) -> None:
    """Its Trainer, with the image processor that belongs to the model."""
    import torch
    from torchvision.datasets import CocoDetection
    from transformers import (
        RTDetrImageProcessor,
        RTDetrV2Config,
        RTDetrV2ForObjectDetection,
        Trainer,
        TrainingArguments,
    )

    processor = RTDetrImageProcessor(size={"height": size, "width": size})

    class Scenes(CocoDetection):  # type: ignore[misc]
        def __getitem__(self, index: int) -> Any:
            image, rows = super().__getitem__(index)
            truth = {"image_id": index, "annotations": [{**row, "category_id": row["category_id"] - 1} for row in rows]}
            found = processor(image, annotations=truth, return_tensors="pt")
            return found["pixel_values"][0], found["labels"][0]

    def join(rows: Any) -> dict[str, Any]:
        images, labels = zip(*rows, strict=True)
        return {"pixel_values": torch.stack(images), "labels": list(labels)}

    source = root / "coco"
    data = Scenes(source / "images" / "train", source / "annotations" / "instances_train.json")
    options = TrainingArguments(
        output_dir=str(root / "theirs"),
        per_device_train_batch_size=batch,
        num_train_epochs=epochs,
        dataloader_num_workers=workers,
        learning_rate=1e-4,
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        use_cpu=True,
        disable_tqdm=True,
    )
    net = RTDetrV2ForObjectDetection(RTDetrV2Config(**RT_DETR, num_labels=2))
    Trainer(net, options, train_dataset=data, data_collator=join).train()


def rfdetr_loop(root: Path, size: int, batch: int, epochs: int, workers: int) -> None:
    """RFDETR.train, without what it does beside the training."""
    from rfdetr import RFDETRNano

    net = RFDETRNano(pretrain_weights=None, resolution=size, device="cpu")
    net.train(
        dataset_dir=str(root / "roboflow"),
        output_dir=str(root / "theirs"),
        epochs=epochs,
        batch_size=batch,
        grad_accum_steps=1,
        num_workers=workers,
        tensorboard=False,
        multi_scale=False,
        run_test=False,
        eval_interval=10**6,
    )


THEIRS: dict[str, Callable[[Path, int, int, int, int], None]] = {
    "torchvision": torchvision_loop,
    "transformers": transformers_loop,
    "rfdetr": rfdetr_loop,
}


def through_drivetrain(source: str, root: Path, size: int, batch: int, epochs: int, workers: int) -> None:
    """``Engine.train`` with its defaults but for size, batch and workers; never validated."""
    from drivetrain import Engine

    data, work_dir = root / "coco", root / f"ours-{time.time_ns()}"
    common: dict[str, Any] = {"image_size": size, "batch_size": batch, "num_workers": workers}
    if source == "torchvision":
        engine = Engine(f"torchvision:{DETECTOR}", data, work_dir=work_dir, device="cpu")
    elif source == "transformers":
        name = "transformers:RTDetrV2ForObjectDetection"
        engine = Engine(name, data, model_args=RT_DETR, work_dir=work_dir, device="cpu")
    else:
        engine = Engine("rfdetr-nano", data, work_dir=work_dir, device="cpu")
        common["engine_args"] = {"multi_scale": False, "grad_accum_steps": 1, "limit_val_batches": 0}
    common.setdefault("engine_args", {"limit_val_batches": 0})
    engine.train(epochs, val_check_interval=1.0, **common)


# --- measuring -------------------------------------------------------------------------------------------------------


def child(arguments: argparse.Namespace) -> None:
    """Train once, and print the seconds and the largest memory in bytes, of the workers too."""
    began = time.perf_counter()
    settings = (arguments.root, arguments.size, arguments.batch, arguments.epochs, arguments.workers)
    if arguments.side == "theirs":
        THEIRS[arguments.source](*settings)
    else:
        through_drivetrain(arguments.source, *settings)
    seconds = time.perf_counter() - began
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"\nMEASURED {seconds} {1024 * (own + workers * (arguments.side == 'theirs') * arguments.workers)}")


def measure(side: str, source: str, epochs: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds and bytes of one training in a new process."""
    command = [sys.executable, __file__, "--side", side, "--source", source, "--root", str(arguments.root)]
    for name in ("size", "batch", "workers"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run([*command, "--epochs", str(epochs)], check=False, capture_output=True, text=True)
    line = next((row for row in reversed(done.stdout.splitlines()) if row.startswith("MEASURED")), None)
    if line is None:
        raise SystemExit(f"{source}, {side}: the training failed.\n{done.stderr[-2000:]}")
    _, seconds, used = line.split()
    return float(seconds), float(used)


def compare(source: str, arguments: argparse.Namespace) -> bool:
    """Print the ratios of a source; whether they are within the limits."""
    rates: dict[str, list[float]] = {"theirs": [], "ours": []}
    memory: dict[str, list[float]] = {"theirs": [], "ours": []}
    for number in range(arguments.rounds):
        for side in ("theirs", "ours") if number % 2 == 0 else ("ours", "theirs"):
            short, _ = measure(side, source, 1, arguments)
            long, used = measure(side, source, 1 + arguments.epochs, arguments)
            rates[side].append(arguments.epochs * arguments.images / max(long - short, 1e-9))
            memory[side].append(used)
    speed, space = (statistics.median(found["ours"]) / statistics.median(found["theirs"]) for found in (rates, memory))
    for side in rates:
        shown = ", ".join(f"{value:.1f}" for value in rates[side])
        print(f"{source}, {side}: {shown} images/s, {statistics.median(memory[side]) / 2**20:.0f} MiB")
    print(f"{source}: speed {speed:.2f} (at least {LIMIT}), memory {space:.2f} (at most {MEMORY_LIMIT})", flush=True)
    return speed >= LIMIT and space <= MEMORY_LIMIT


def main() -> int:
    """Print the ratios; the exit code says whether all are within the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", choices=SOURCES)
    parser.add_argument("--side", choices=["theirs", "ours"])
    parser.add_argument("--root", type=Path)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.side:
        child(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        arguments.root = Path(folder)
        make_scenes(arguments.root, arguments.images, arguments.size)
        within = [compare(source, arguments) for source in ([arguments.source] if arguments.source else SOURCES)]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
