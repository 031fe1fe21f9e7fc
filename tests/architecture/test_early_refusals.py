"""What can be detected without a framework is refused before one is loaded, with a message that says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivetrain.testing import data

HEAVY = (
    *("torch", "torchvision", "lightning", "pytorch_lightning", "timm", "anomalib", "ultralytics", "transformers"),
    *("openvino", "onnx", "onnxruntime", "nncf", "cv2", "datumaro", "optuna"),
)

#: Runs the commands that it reads one after another; reports code, message and the heavy modules loaded by then.
ASK = f"""
import contextlib, io, json, sys
from drivetrain.cli.main import main
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        code = main(words)
    said = [line for line in err.getvalue().splitlines() if not line.startswith("Listing the models of")]
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    print(json.dumps({{"code": code, "said": said, "out": out.getvalue(), "loaded": loaded}}))
"""

TRAIN = "train --model timm:test_resnet --data pictures"
#: A new user's mistake -> the message.
SLIPS = {
    # names of options and models
    f"{TRAIN} --epochs 3": "--epochs is not an option of train. Did you mean '--max_epochs'? See all with: "
    "drivetrain train --help.",
    f"{TRAIN} --lr 0.1": "--lr is not an option of train. Did you mean '--learning_rate'? See all with: "
    "drivetrain train --help.",
    f"{TRAIN} --imgsz 64": "--imgsz is not an option of train. Did you mean '--image_size'? See all with: "
    "drivetrain train --help.",
    "train --model timm:resnt18 --data pictures": "--model timm:resnt18 is not known. Did you mean 'timm:resnet18' or "
    "'timm:resnet18d' or 'timm:skresnet18'? List the models with: drivetrain find, or give a path, a recipe or a class "
    "path (package.module.Class).",
    "train --model yolo11n.pt --data pictures": "--model yolo11n.pt does not exist: no such file or folder in {here}. "
    "Did you mean 'yolo11n' or 'yoloe-11n' or 'yolo11n-pose'? Nothing was downloaded.",
    # paths
    "train --model timm:resnet18 --data pictuers": "--data pictuers does not exist. Give an existing folder, file or "
    "zip. Looked in: {here}",
    "test --model runs/nothing --data pictures": "--model runs/nothing does not exist: no such file or folder in "
    "{here}. Give the work dir of a run, a checkpoint, an artefact, or the name of a model (drivetrain find lists "
    "them).",
    "test --model pictures --data pictures": "--model pictures is a folder that holds neither a run (run.json) nor an "
    "exported model. Give the work dir of a training, the folder of an artefact, or the name of a model.",
    "predict --model timm:test_resnet --source nothing.jpg": "--source nothing.jpg does not exist. Give an image, a "
    "folder, a glob or a video.",
    "predict --model timm:test_resnet --source a.jpg b.jpg": "--source: none of the 2 files exist; the first: "
    "'a.jpg'.",
    "predict --model timm:test_resnet": "There are no data. Give them: --data FOLDER.",
    f"{TRAIN} --checkpoint gone.ckpt": "--checkpoint gone.ckpt does not exist. Looked in: {here}. Nothing was "
    "downloaded. Give the path of a checkpoint.",
    "export --model timm:test_resnet --images gone.png": "--images: 'gone.png' does not exist. Give image files, or "
    "leave it out for those of the data.",
    # work dirs
    f"{TRAIN} --work_dir notes": "--work_dir {here}/notes holds no run, but a file 'config.yaml' that training would "
    "replace. Give another --work_dir, or --overwrite.",
    f"{TRAIN} --work_dir notes/config.yaml": "--work_dir {here}/notes/config.yaml cannot be created: "
    "'{here}/notes/config.yaml' is a file. Give a folder.",
    f"{TRAIN} --work_dir ended": "--work_dir {here}/ended already holds a run (status: finished). Continue it with "
    "--resume, replace it with --overwrite, or give another --work_dir.",
    f"{TRAIN} --work_dir new --resume": "--work_dir {here}/new holds no run to resume. Leave out --resume to start "
    "one.",
    "train --work_dir notes --resume": "--work_dir {here}/notes holds no run to resume. Leave out --resume to start "
    "one.",
    # values
    f"{TRAIN} --batch_size -8": "--batch_size -8 must be at least 1.",
    f"{TRAIN} --seed 99999999999": "--seed 99999999999 must be at most 4294967295.",
    f"{TRAIN} --precision fp64": "--precision fp64 is not allowed. Did you mean 'fp16'? Allowed: auto, fp32, fp16, "
    "bf16.",
    f"{TRAIN} --learning_rate inf": "--learning_rate inf must be a finite number greater than 0, such as 0.001.",
    f"{TRAIN} --device gpu": "--device gpu is not a device. Did you mean 'cuda'? Allowed: auto, cpu, cuda, xpu, mps.",
    f"{TRAIN} --logger tensorbord": "--logger tensorbord is not allowed. Did you mean 'tensorboard'? Allowed: csv, "
    "tensorboard, mlflow, wandb, a list of these, or a logger object of the framework.",
    "tune --model timm:test_resnet --data pictures --space.learning_rate 3": "--space.learning_rate 3 is not a search "
    "domain. Give a list of values, such as [8, 16, 32], or a range of numbers, such as {low: 0.0001, high: 0.01, "
    "log: true}.",
    "tune --model timm:test_resnet --data pictures --space.learning_rat [1]": "space has no option 'learning_rat'. Did "
    "you mean 'learning_rate' or 'backbone_learning_rate'? Allowed: backbone_learning_rate, batch_size, "
    "check_val_every_n_epoch, deterministic, ema, engine_args.NAME, freeze_backbone, image_size, "
    "learning_rate, max_epochs, model.NAME, mosaic, num_workers, patience, precision, scale_jitter, seed, "
    "val_check_interval.",
    "data pictures --splits 0.8 0.1 0.1 --seed -1": "--seed -1 must be at least 0.",
    "data pictures --output notes --output_format coco": "--output notes already has something in it. Name a folder "
    "that does not exist yet.",
    "repeat notes": "RUN notes is not the work dir of a run: it has no run.json.",
    "tune --model timm:test_resnet --data pictures --work_dir ended": "--work_dir {here}/ended holds a run, and a "
    "search needs a folder of its own. Give another --work_dir.",
    "export --model ended": "The artefact '{here}/ended/artifacts/openvino-fp32' already exists. Give another "
    "--name ..., or --overwrite to replace it.",
    "train --resume": "--resume needs the work dir of the run to continue: drivetrain train --work_dir RUN --resume",
    "predict --model timm:test_resnet --source pictures --checkpoint best": "--checkpoint best: the run has none. "
    "Train first, or give a path.",
    "predict --model timm:test_resnet --source pictures --confidence 7": "--confidence 7.0 must be between 0 and 1.",
    "predict --model timm:test_resnet --task classification --source pictures --confidence 0.5": "--confidence 0.5 "
    "cannot be honoured: classification has no objects to drop.",
    # options that an engine never honours
    "train --model anomalib:Padim --data pictures --task classification": "--task classification, but anomalib:Padim "
    "is a model for the task 'anomaly'. List models for it with: drivetrain find --task classification",
    "tune --model yolo11n-cls --data pictures --space.learning_rate [0.1,7]": "--learning_rate 7 is not allowed by "
    "Ultralytics. Allowed: greater than 0, at most 1.0.",
    "train --model yolo11n-cls --data pictures --learning_rate 2": "--learning_rate 2.0 is not allowed by Ultralytics. "
    "Allowed: greater than 0, at most 1.0.",
    "train --model yolo11n-cls --data pictures --val_check_interval 0.5": "--val_check_interval 0.5 cannot be "
    "honoured: Ultralytics validates after whole epochs. Give --check_val_every_n_epoch.",
    "train --model yolo11n-cls --data pictures --image_size 50": "--image_size 50 must be a multiple of 32. The next "
    "one is 64.",
    "train --model anomalib:Padim --data pictures --devices 2": "--devices 2 cannot be honoured: a memory bank such as "
    "those of Patchcore and Padim holds the features of every image in one process, and the threshold of every model "
    "is found in the answers of one. Leave --devices out, or give one.",
    f"{TRAIN} --device cpu --precision fp16": "--precision fp16 cannot be honoured on the CPU. Allowed there: auto, "
    "fp32, bf16.",
    f"{TRAIN} --engine_args.precision 16": "--engine_args.precision is set by --precision; leave it out.",
}  # fmt: skip

#: The same in Python.
PYTHON = (
    """
import sys
import drivetrain
from drivetrain.errors import DrivetrainError
for arguments in (
    ("timm:resnet18", "pictuers"), ("timm:resnt18", "pictures"), ("runs/nothing", "pictures"), ("pictures", "pictures"),
):
    try:
        drivetrain.Engine(*arguments)
    except DrivetrainError:
        pass
    else:
        raise AssertionError(arguments)
for more in ({"task": "clasification"}, {"task": "depth"}, {"device": "gpu"}, {"engine": "lightnin"}):
    try:
        drivetrain.Engine("timm:resnet18", "pictures", **more)
    except DrivetrainError:
        pass
    else:
        raise AssertionError(more)
"""
    + f"assert not {set(HEAVY)!r} & set(sys.modules), {set(HEAVY)!r} & set(sys.modules)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home")
    data.class_folders(root / "pictures")
    (root / "notes").mkdir()
    (root / "notes" / "config.yaml").write_text("mine: 1\n")
    (root / "ended").mkdir()
    (root / "ended" / "run.json").write_text('{"status": "finished", "engine": "lightning", "model": {"name": "x"}}')
    (root / "ended" / "checkpoints").mkdir()
    (root / "ended" / "checkpoints" / "best.ckpt").touch()
    (root / "ended" / "artifacts" / "openvino-fp32").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def answers(folder: Path) -> Iterator[dict[str, dict[str, object]]]:
    words = json.dumps([slip.split() for slip in SLIPS])
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=words, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before = sorted(path.name for path in folder.iterdir())
    yield dict(zip(SLIPS, map(json.loads, done.stdout.splitlines()), strict=True))
    assert sorted(path.name for path in folder.iterdir()) == before, "nothing is written"


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_refused_before_anything_heavy_is_loaded(
    slip: str, answers: dict[str, dict[str, object]], folder: Path
) -> None:
    said = f"drivetrain: {SLIPS[slip].replace('{here}', str(folder))}"
    assert answers[slip] == {"code": 2, "said": [said], "out": "", "loaded": []}


def test_a_slip_in_python_loads_nothing_heavy_either(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_report_would_see_what_is_loaded(folder: Path) -> None:
    code = "import cv2\n" + ASK
    done = subprocess.run(
        [sys.executable, "-c", code], input='[["nonsense"]]', cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["loaded"] == ["cv2"]
