"""From JPEG files to results: our Predictor, the theoretical limit, and ModelAPI's asynchronous pipeline.

B is the throughput of ``benchmark_app`` with the model-size graph, D that of decoding on all cores. Both cannot use the
cores at the same time, so the limit is ``1 / (1 / B + 1 / D)``, and no pipeline can beat ModelAPI by more than it
does: the last line says by how much, on this machine and for this model. All sides are measured in turn in one run,
several times. ModelAPI resizes without antialiasing; we use the pixels that training used.

    python benchmarks/predict_folder.py --rounds 5
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from drivetrain import load
from drivetrain.export import ExportSource, export_artifact
from drivetrain.images.read import read_image
from drivetrain.machine.resources import core_count
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import ImageSpec, Task

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--images", "4", "--rounds", "1", "--models", "mobilenetv3_small_050"]]

SPEC = ImageSpec(224, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
LABELS = tuple(f"class {number}" for number in range(10))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0", "mobilenetv3_small_100"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_images(folder / "images", arguments.images)
        for model in arguments.models:
            print(model)
            report(measure_model(folder / model, model, files, arguments.rounds))


def measure_model(folder: Path, model: str, files: list[Path], rounds: int) -> dict[str, list[float]]:
    """Images per second of every side, for each round."""
    folder.mkdir()
    artifact, plain = make_models(folder, model)
    sides: dict[str, Callable[[], float]] = {
        "B  benchmark_app": lambda: benchmark_app(plain),
        "D  decode": lambda: decode_rate(files),
        "drivetrain": drivetrain_rate(artifact, files),
        "ModelAPI async": model_api_rate(plain, files),
    }
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            rates[side].append(measure())
    return rates


def report(rates: dict[str, list[float]]) -> None:
    """Medians and ratios; ratios are computed per round, since the machine may change between rounds."""
    limits = [1 / (1 / b + 1 / d) for b, d in zip(rates["B  benchmark_app"], rates["D  decode"], strict=True)]
    for side, values in {**rates, "limit": limits}.items():
        print(f"{side:18s} {statistics.median(values):7.1f} img/s   {[round(value) for value in values]}")
    for title, others, needed in (
        ("drivetrain / limit", limits, 0.75),
        ("drivetrain / ModelAPI", rates["ModelAPI async"], 1.35),
    ):
        ratios = [ours / other for ours, other in zip(rates["drivetrain"], others, strict=True)]
        print(f"{title:22s} {statistics.median(ratios):.2f} (needed {needed})   {[round(r, 2) for r in ratios]}")
    reach = [limit / other for limit, other in zip(limits, rates["ModelAPI async"], strict=True)]
    print(f"{'limit / ModelAPI':22s} {statistics.median(reach):.2f} (the most that could be)\n")


def make_images(folder: Path, count: int) -> list[Path]:
    """Noisy 640x480 JPEG files, about as hard to decode as photographs."""
    from PIL import Image

    rng = np.random.default_rng(0)
    folder.mkdir()
    files = []
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        large = np.asarray(small.resize((640, 480), Image.Resampling.BICUBIC), np.float32)
        noisy = (large + rng.normal(0, 4, large.shape)).clip(0, 255).astype(np.uint8)
        files.append(folder / f"{index:04d}.jpg")
        Image.fromarray(noisy).save(files[-1], quality=90)
    return files


def make_models(folder: Path, name: str) -> tuple[Artifact, Path]:
    """Our artefact, and the plain model-size IR with ModelAPI's own metadata."""
    import openvino as ov
    import timm

    module = timm.create_model(name, pretrained=False, num_classes=len(LABELS)).eval()
    artifact = export_artifact(
        ExportSource(
            module=module,
            image_spec=SPEC,
            task=Task.CLASSIFICATION,
            label_names=LABELS,
            decoder="classification",
            output_names=("logits",),
        ),
        folder / "artifact",
        reference=None,
        images=[],
        engine="benchmark",
        model_name=name,
    )
    plain = ExportSource(
        module=module,
        image_spec=SPEC,
        task=Task.CLASSIFICATION,
        label_names=LABELS,
        decoder="classification",
        output_names=("logits",),
        embed=False,
    )
    from drivetrain.export.openvino import write_openvino

    (folder / "plain").mkdir()
    write_openvino(plain, folder / "plain")
    model = ov.Core().read_model(folder / "plain" / "model.xml")
    model.reshape([1, 3, *SPEC.size])
    ov.save_model(model, folder / "plain" / "static.xml", compress_to_fp16=False)
    return artifact, folder / "plain" / "static.xml"


def benchmark_app(model: Path) -> float:
    """Images per second of OpenVINO's own tool, which feeds prepared tensors."""
    tool = Path(sys.executable).with_name("benchmark_app")
    command = [str(tool), "-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", "4"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Throughput:\s+([\d.]+)", output)
    if found is None:
        raise RuntimeError(f"benchmark_app says no throughput:\n{output}")
    return float(found.group(1))


def decode_rate(files: list[Path]) -> float:
    """Images per second of decoding on all cores."""
    rest = iter(files)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                file = next(rest, None)
            if file is None:
                return
            read_image(file)

    threads = [threading.Thread(target=work) for _ in range(core_count())]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(files) / (time.perf_counter() - start)


def drivetrain_rate(artifact: Artifact, files: list[Path]) -> Callable[[], float]:
    """Images per second of our Predictor with its default settings."""
    predictor = load(artifact.path)
    predictor.predict(files[:8])

    def measure() -> float:
        start = time.perf_counter()
        count = len(predictor.predict(files))
        return count / (time.perf_counter() - start)

    return measure


def model_api_rate(model: Path, files: list[Path]) -> Callable[[], float]:
    """Images per second of ModelAPI's AsyncPipeline, with one stream per core; the calling thread decodes."""
    import cv2
    from model_api.models import Model
    from model_api.pipelines import AsyncPipeline

    wrapper = Model.create_model(str(model), device="CPU", nstreams=str(core_count()))
    pipeline = AsyncPipeline(wrapper)

    def measure() -> float:
        start = time.perf_counter()
        done = 0
        for index, file in enumerate(files):
            while not pipeline.is_ready():
                pipeline.await_any()
            pipeline.submit_data(cv2.imread(str(file), cv2.IMREAD_COLOR_RGB), index)
            done += _collect(pipeline, done, index)
        pipeline.await_all()
        done += _collect(pipeline, done, len(files))
        if done != len(files):
            raise RuntimeError(f"ModelAPI answered {done} of {len(files)} images")
        return len(files) / (time.perf_counter() - start)

    return measure


def _collect(pipeline: object, first: int, end: int) -> int:
    """Fetch the available results, in order, and count them."""
    count = 0
    while first + count < end and pipeline.get_result(first + count):  # type: ignore[attr-defined]  # untyped package
        count += 1
    return count


if __name__ == "__main__":
    main()
