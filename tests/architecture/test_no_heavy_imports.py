"""Inspection is cheap: only a running verb loads a framework."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import drivetrain
from drivetrain.cli.commands import commands
from drivetrain.cli.signature import verbs

HEAVY = {
    *("torch", "torchvision", "lightning", "pytorch_lightning", "timm", "anomalib", "ultralytics", "rfdetr"),
    *("getitune", "transformers", "openvino", "onnx", "onnxruntime", "nncf", "cv2", "datumaro"),
}

REPORT = f"""
import sys
from pathlib import Path
loaded = sorted({HEAVY!r} & set(sys.modules))
assert not loaded, f"loaded: {{loaded}}"
"""

HELP = """
import contextlib, io, sys
from drivetrain.cli.main import main
def ask(*words):
    sys.argv = ["drivetrain", *words]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code
    assert not code, f"{words}: exit code {code}"
    assert "--help" in out.getvalue(), f"{words}: {out.getvalue()[:200]}"
"""


def run_fresh(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_report_sees_a_heavy_module() -> None:
    with pytest.raises(AssertionError, match=r"loaded: \['cv2'\]"):
        run_fresh("import cv2" + REPORT)


@pytest.mark.parametrize(
    "code",
    [
        "import drivetrain\nassert 'numpy' not in __import__('sys').modules",
        "import drivetrain; dir(drivetrain)",
        "import drivetrain; assert len(drivetrain.list_engines()) >= 4",
        "import drivetrain; drivetrain.Engine",
        "import drivetrain; drivetrain.EngineSpec, drivetrain.explain_dispatch, drivetrain.register_engine",
        "import drivetrain; drivetrain.load, drivetrain.Predictor",
        "import drivetrain; drivetrain.load_dataset, drivetrain.Dataset",
        "import drivetrain; drivetrain.Prediction, drivetrain.Metrics, drivetrain.TrainResult, drivetrain.Task",
    ],
)
def test_naming_a_thing_loads_no_framework(code: str) -> None:
    run_fresh(code + "\n" + REPORT)


@pytest.mark.parametrize("words", [[], *(name.split() for name in (*verbs(), *commands()))])
def test_help_loads_no_framework(words: list[str]) -> None:
    call = ", ".join(map(repr, [*words, "--help"]))
    run_fresh(f"{HELP}\nask({call})\n{REPORT}")


def test_listing_models_loads_no_framework_in_this_process() -> None:
    run_fresh("import drivetrain; drivetrain.list_models(text='resnet18')\n" + REPORT)


@pytest.mark.parametrize(
    "words",
    [
        ("find", "resnet18"),
        ("find", "--task", "anomaly", "--json"),
        ("info",),
        ("train", "--model.help", "timm:resnet18"),
        ("train", "--print_config", "--model", "timm:resnet18"),
        ("doctor", "--quick"),
    ],
)
def test_looking_around_loads_no_framework(words: tuple[str, ...]) -> None:
    run_fresh(f"from drivetrain.cli.main import main\nassert main({list(words)!r}) in (0, 1)\n{REPORT}")


def test_explaining_a_run_loads_no_framework(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "finished", "model": {"name": "x"}}')
    run_fresh(f"from drivetrain.cli.main import main\nassert main(['info', {str(tmp_path)!r}]) == 0\n{REPORT}")


def test_the_runtimes_are_imported_in_one_place() -> None:
    """Imported directly, they write into the user's home and report their use over the network."""
    source = Path(drivetrain.__file__).parent
    bare = re.compile(
        r"^( +import (openvino|onnxruntime)| +from (openvino|onnxruntime) import (?!Model$))", re.MULTILINE
    )
    found = [str(path.relative_to(source)) for path in source.rglob("*.py") if bare.search(path.read_text("utf-8"))]
    assert found == [], "use drivetrain.machine.packages.openvino() or .onnxruntime()"
