"""Training, test and export through drivetrain against Ultralytics' own script, with the same settings and data.

Both sides run in separate processes, in turn, including imports; the limits are 1.0 of the wall time and 1.1 of
the memory. With ``--ready``: 10,000 images of a cached data set, with boxes and with masks, must be ready for training
within 1.5 s.
Run: python benchmarks/ultralytics_train.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--epochs", "1", "--images", "16", "--size", "64"]]

WALL_LIMIT = 1.0
MEMORY_LIMIT = 1.1
READY_LIMIT = 1.5
_READY_IMAGES = 10_000
_READY_TASKS = {"detection": "detect", "instance_segmentation": "segment"}


def run_upstream(source: Path, work_dir: Path, settings: argparse.Namespace) -> None:
    """What a user of Ultralytics would write."""
    from ultralytics import YOLO

    model = YOLO("yolo11n.yaml")
    model.train(
        data=str(source),
        epochs=settings.epochs,
        imgsz=settings.size,
        batch=settings.batch,
        nbs=settings.batch,
        deterministic=False,
        amp=False,
        plots=False,
        device="cpu",
        project=str(work_dir),
        name="run",
        verbose=False,
    )
    model.val(data=str(source), split="test", imgsz=settings.size, plots=False, project=str(work_dir), name="val")
    model.export(format="openvino", imgsz=settings.size)


def run_drivetrain(source: Path, work_dir: Path, settings: argparse.Namespace) -> None:
    """The same with drivetrain."""
    from drivetrain import Engine

    engine = Engine("yolo11n", source, work_dir=work_dir, device="cpu")
    engine.train(settings.epochs, batch_size=settings.batch, image_size=settings.size)
    engine.test()
    engine.export("openvino")


def run_ready(source: Path, task: str) -> float:
    """Seconds from a cached data set to Ultralytics' data set of the training images.

    The imports of torch and Ultralytics are not counted, those of the data room are.
    """
    import importlib

    from drivetrain.data import load_dataset
    from drivetrain.engines.ultralytics.containment import ultralytics
    from drivetrain.engines.ultralytics.data import make_dataset, records

    ultralytics()
    default = importlib.import_module("ultralytics.cfg").get_cfg
    importlib.import_module("ultralytics.models.rtdetr.train")

    class Trainer:
        args = default(overrides={"task": _READY_TASKS[task], "imgsz": 160})
        data: Any = None

    began = time.perf_counter()
    dataset = load_dataset(source, task=task)
    Trainer.data = {"names": dict(enumerate(dataset.label_names)), "nc": len(dataset.label_names), "channels": 3}
    made = make_dataset(Trainer, records(dataset.subset("train"), dataset.task), "train", 16, 32)
    seconds = time.perf_counter() - began
    assert len(made) == _READY_IMAGES
    return seconds


def measure(side: str, source: Path, settings: argparse.Namespace) -> dict[str, float]:
    """Wall time and peak memory of one side in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", side, "--folder", folder, "--source", str(source)]
        command += [f"--{name}={getattr(settings, name)}" for name in ("epochs", "size", "batch", "task")]
        environment = {**os.environ, "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
        began = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
        wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"wall": wall, **found}


def child(settings: argparse.Namespace) -> None:
    """One side, and the resources it needed."""
    source, work_dir = Path(settings.source), Path(settings.folder) / "work"
    if settings.side == "ready":
        print(json.dumps({"ready": run_ready(source, settings.task)}))
        return
    {"upstream": run_upstream, "drivetrain": run_drivetrain}[settings.side](source, work_dir, settings)
    print(json.dumps({"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def compare(settings: argparse.Namespace) -> bool:
    """Print the ratios; whether they are within the limits."""
    from drivetrain.testing import data

    with tempfile.TemporaryDirectory() as folder:
        counts = {"train": settings.images, "val": settings.images // 5, "test": settings.images // 5}
        source = data.yolo(Path(folder) / "data", subsets=counts, size=settings.size)
        rounds: dict[str, list[dict[str, float]]] = {"upstream": [], "drivetrain": []}
        for _ in range(settings.rounds):
            for side, found in rounds.items():
                found.append(measure(side, source, settings))
                print(f"{side}: {found[-1]['wall']:.1f} s, {found[-1]['memory']:.0f} MiB", flush=True)
    within = True
    for quantity, limit in (("wall", WALL_LIMIT), ("memory", MEMORY_LIMIT)):
        medians = [statistics.median(part[quantity] for part in rounds[side]) for side in ("drivetrain", "upstream")]
        ratio = medians[0] / medians[1]
        within &= ratio <= limit
        print(f"{quantity}: {ratio:.2f} of Ultralytics' own script (limit {limit})")
    return within


def ready(settings: argparse.Namespace) -> bool:
    """Print how long 10,000 images of each task take; return whether that is within the limit."""
    from drivetrain.data import load_dataset
    from drivetrain.testing import data

    with tempfile.TemporaryDirectory() as folder:
        os.environ["DRIVETRAIN_CACHE"] = str(Path(folder) / "cache")
        source = data.coco(Path(folder) / "data", subsets={"train": _READY_IMAGES, "val": 1}, size=32)
        within = True
        for task in _READY_TASKS:
            load_dataset(source, task=task)
            settings.task = task
            seconds = statistics.median(measure("ready", source, settings)["ready"] for _ in range(settings.rounds))
            within &= seconds <= READY_LIMIT
            print(f"{_READY_IMAGES} images for {task}, ready for training: {seconds:.2f} s (limit {READY_LIMIT} s)")
    return within


def main() -> int:
    """The exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["upstream", "drivetrain", "ready"])
    parser.add_argument("--folder", default="")
    parser.add_argument("--source", default="")
    parser.add_argument("--task", default="detection", choices=list(_READY_TASKS))
    parser.add_argument("--ready", action="store_true", help="measure how soon images are ready, and nothing else")
    for name, default in (("epochs", 3), ("size", 160), ("batch", 16), ("images", 160), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    settings = parser.parse_args()
    if settings.side:
        child(settings)
        return 0
    return 0 if (ready(settings) if settings.ready else compare(settings)) else 1


if __name__ == "__main__":
    sys.exit(main())
