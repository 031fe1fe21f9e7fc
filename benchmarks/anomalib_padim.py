"""Train, test and export Padim: drivetrain against a short script with Anomalib's engine, as whole processes.

Both sides use the same pictures, the same size and random weights, each in a separate process, in turn, several
times. The ratio is computed per round, since the machine may change between rounds.

    python benchmarks/anomalib_padim.py --rounds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from drivetrain.testing.data import mvtec

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--rounds", "1", "--images", "12"]]

OURS = """
    import sys
    from drivetrain import Engine

    args = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"], "pretrained": False}
    args |= {"n_features": 100} if sys.argv[3] == "Padim" else {}
    engine = Engine(sys.argv[3], sys.argv[1], work_dir=sys.argv[2], model_args=args)
    engine.train(image_size=256)
    print(dict(engine.test()))
    engine.export("openvino")
"""
THEIRS = """
    import sys
    from pathlib import Path

    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from anomalib import models

    folder = Path(sys.argv[1])
    data = MVTecAD(root=folder.parent, category=folder.name, num_workers=0)
    args = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"], "pre_trained": False}
    args |= {"n_features": 100} if sys.argv[3] == "Padim" else {}
    model = getattr(models, sys.argv[3])(**args, visualizer=False)
    engine = Engine(default_root_dir=sys.argv[2], accelerator="cpu", devices=1, enable_progress_bar=False)
    engine.fit(model, datamodule=data)
    print(engine.test(model, datamodule=data))
    engine.export(model, "openvino", export_root=sys.argv[2], input_size=(256, 256))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--model", default="Padim", help="Padim or Patchcore")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {"drivetrain": [], "Anomalib": []}
    works: dict[str, list[float]] = {"drivetrain": [], "Anomalib": []}
    peaks: dict[str, list[float]] = {"drivetrain": [], "Anomalib": []}
    with tempfile.TemporaryDirectory() as name:
        data = mvtec(Path(name) / "data" / "bottle", train=arguments.images, test=10, size=256)
        for number in range(arguments.rounds):
            for side, script in (("drivetrain", OURS), ("Anomalib", THEIRS)):
                seconds, work, peak = run(script, data, Path(name) / f"{side}-{number}", arguments.model)
                times[side].append(seconds)
                works[side].append(work)
                peaks[side].append(peak)
                print(
                    f"round {number + 1} {side:10s} {seconds:6.1f} s  of work {work:6.1f} s  peak {peak:5.2f} GB",
                    flush=True,
                )
    for what, values, limit in (("time", times, "1.05, aim 0.7"), ("work", works, "none"), ("memory", peaks, "1.1")):
        ratios = [ours / theirs for ours, theirs in zip(values["drivetrain"], values["Anomalib"], strict=True)]
        print(f"{what}: median ratio {statistics.median(ratios):.2f} (limit {limit}); {[f'{r:.2f}' for r in ratios]}")


def run(script: str, data: Path, folder: Path, model: str) -> tuple[float, float, float]:
    """Wall seconds of the whole process, its CPU seconds, and its peak memory in GB.

    CPU seconds are more meaningful if other work runs at the same time.
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(data), str(folder), model]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        message = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(message.decode()[-2000:])
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


if __name__ == "__main__":
    main()
