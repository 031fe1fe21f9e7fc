"""What the runtime costs beside the network: post-processing of 640 px detectors, and memory over many images.

Run: ``python benchmarks/runtime_costs.py [--images 100000] [--rounds 300]``. Prints one line for each:

- milliseconds to make answers of the outputs of a YOLO (84 x 8400) and of a DETR (300 queries, 80 classes), of which
  about twenty objects are found, on one core; the limit is 1 ms;
- the resident memory after the last image of a stream over that after the first thousand; the limit is 1.05.

``predict_folder.py`` measures the way from files to answers, ``tracking.py`` tracking, ``explain_cost.py`` explain.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drivetrain import load
from drivetrain.export import ExportSource, export_artifact
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import Decoder, make_decoder
from drivetrain.types import ImageSpec, Task

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "40", "--rounds", "3"]]
SIDE, CLASSES, FOUND = 640, 80, 20
MOST_MS, MOST_GROWTH = 1.0, 1.05
LABELS = tuple(f"class {number}" for number in range(CLASSES))


def yolo_output(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Boxes and scores as a YOLO at 640 x 640 gives them: each object is found by several neighbouring cells."""
    values = np.zeros((1, 4 + CLASSES, 8400), np.float32)
    values[0, :2] = random.uniform(0, SIDE, (2, 8400))
    values[0, 2:4] = random.uniform(20, 120, (2, 8400))
    values[0, 4:] = random.uniform(0, 0.01, (CLASSES, 8400))
    for _ in range(FOUND):
        start, label = int(random.integers(0, 8390)), int(random.integers(0, CLASSES))
        values[0, :4, start : start + 6] = values[0, :4, start : start + 1] + random.normal(0, 2, (4, 6))
        values[0, 4 + label, start : start + 6] = random.uniform(0.4, 0.9, 6)
    return {"output0": values}


def detr_output(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Boxes and logits of 300 queries."""
    logits = random.normal(-6, 1, (1, 300, CLASSES)).astype(np.float32)
    logits[0, random.integers(0, 300, FOUND), random.integers(0, CLASSES, FOUND)] = 1.0
    return {"boxes": random.uniform(0.1, 0.9, (1, 300, 4)).astype(np.float32), "logits": logits}


def milliseconds(decoder: Decoder, outputs: dict[str, np.ndarray], rounds: int) -> tuple[float, int]:
    """The median time of one answer, and how many objects it has."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        answer = decoder.decode(outputs, (720, 1280), "")
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times), len(answer.labels)


def small_artifact(folder: Path) -> Artifact:
    """A classifier that takes no time: the mean colour through a matrix."""
    import openvino as ov

    ops = ov.opset13
    image = ops.parameter([1, 3, 32, 32], np.float32, name="image")
    matrix = np.random.default_rng(0).normal(size=(3, CLASSES)).astype(np.float32)
    logits = ops.matmul(ops.reduce_mean(image, ops.constant([2, 3]), False), ops.constant(matrix), False, False)
    ov.save_model(ov.Model([logits], [image]), folder / "mean.xml", compress_to_fp16=False)
    source = ExportSource(
        ir=folder / "mean.xml",
        image_spec=ImageSpec(32, 32),
        task=Task.CLASSIFICATION,
        label_names=LABELS,
        decoder="classification",
        output_names=("logits",),
    )
    return export_artifact(source, folder / "artefact", reference=None, images=[], engine="", model_name="mean")


def resident() -> int:
    """Bytes of main memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(artifact: Artifact, images: int) -> tuple[float, float]:
    """Megabytes after the first thousand images (or a tenth of fewer) of a stream, and after the last."""
    random = np.random.default_rng(0)
    pool = [random.integers(0, 255, (120, 160, 3), dtype=np.uint8) for _ in range(16)]

    def frames() -> Iterator[np.ndarray]:
        for number in range(images):
            yield pool[number % len(pool)].copy()

    first = min(1000, max(1, images // 10))
    early = 0
    for number, _ in enumerate(load(artifact.path).predict(frames(), stream=True), start=1):
        if number == first:
            early = resident()
    return early / 1e6, resident() / 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    random, spec, missed = np.random.default_rng(0), ImageSpec(SIDE, SIDE), False
    decoders = {
        "YOLO": (make_decoder("yolo", {}, LABELS, spec), yolo_output(random)),
        "DETR": (make_decoder("queries", {"boxes": "boxes", "scores": "logits"}, LABELS, spec), detr_output(random)),
    }
    for name, (decoder, outputs) in decoders.items():
        each, found = milliseconds(decoder, outputs, options.rounds)
        missed |= each > MOST_MS
        print(f"post-processing of a {name} at {SIDE} px: {each:.2f} ms for {found} objects (limit {MOST_MS:g} ms)")
    with tempfile.TemporaryDirectory() as folder:
        early, late = growth(small_artifact(Path(folder)), options.images)
    missed |= late > MOST_GROWTH * early
    print(
        f"memory over {options.images} images: {early:.0f} MB, then {late:.0f} MB, ratio {late / early:.3f} "
        f"(limit {MOST_GROWTH})"
    )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
