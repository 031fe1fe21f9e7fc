"""Training on a GPU: the same engines, checkpoints that a CPU opens, and answers that agree (`make test-gpu`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain import Engine
from drivetrain.errors import DrivetrainError
from drivetrain.runs.record import read_record
from drivetrain.testing import data
from drivetrain.testing.contract.forms import assert_same_predictions
from drivetrain.types import Task

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]

_CASES = {
    "timm:resnet18": ("timm", Task.CLASSIFICATION, {"image_size": 64, "batch_size": 8, "num_workers": 2}),
    "yolo11n-cls": ("ultralytics", Task.CLASSIFICATION, {"image_size": 64, "batch_size": 8}),
    "yolo11n": ("ultralytics", Task.DETECTION, {"image_size": 96, "batch_size": 8}),
    "anomalib:Padim": ("anomalib", Task.ANOMALY, {"image_size": 64, "batch_size": 8, "num_workers": 0}),
    "rfdetr-nano": ("rfdetr", Task.DETECTION, {"image_size": 128, "batch_size": 2, "num_workers": 0}),
}
_DATA: dict[Task, Any] = {
    Task.CLASSIFICATION: data.class_folders,
    Task.DETECTION: data.coco,
    Task.ANOMALY: data.mvtec,
}


def make(name: str, work: Path, folder: Path, **more: Any) -> Any:
    package, task, _ = _CASES[name]
    pytest.importorskip(package)
    arguments = {"pre_trained": False} if name == "anomalib:Padim" else None
    return Engine(name, folder, task=task, work_dir=work, model_args=arguments, **more)


@pytest.fixture(params=_CASES)
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, Path]:
    name = request.param
    _, task, options = _CASES[name]
    folder = _DATA[task](tmp_path / "data")
    engine = make(name, tmp_path / "run", folder, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    engine.train(1 if task is Task.ANOMALY else 3, **options)
    return name, engine, folder


def test_a_gpu_trains_and_a_cpu_opens_what_it_trained(trained: tuple[str, Any, Path]) -> None:
    name, engine, _ = trained
    assert torch.cuda.max_memory_allocated() > 1e6, "nothing was computed on the GPU"
    record = read_record(engine.work_dir)
    assert record["status"] == "finished"
    print(name, record.get("effective_options"), record["metrics"])
    on_gpu = engine.predict()
    on_cpu = Engine(engine.work_dir, device="cpu").predict()
    assert_same_predictions(on_gpu, on_cpu, 2e-2)


def test_a_run_goes_on_on_the_other_device(trained: tuple[str, Any, Path]) -> None:
    name, engine, _ = trained
    if name == "anomalib:Padim":
        pytest.skip("a memory bank has nothing to continue")
    options = _CASES[name][2]
    result = Engine(engine.work_dir, device="cpu").train(4, **options, resume=True)
    assert [row.epoch for row in result.history] == [0, 1, 2, 3]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "auto"])
def test_every_precision_trains(precision: str, tmp_path: Path) -> None:
    folder = data.class_folders(tmp_path / "data")
    engine = make("timm:resnet18", tmp_path / "run", folder, device="cuda")
    result = engine.train(2, image_size=64, batch_size=8, num_workers=0, precision=precision)
    assert all(np.isfinite(value) for row in result.history for value in row.metrics.values())
    print(precision, read_record(engine.work_dir)["effective_options"].get("precision"))


def test_more_gpus_than_there_are_are_refused(tmp_path: Path) -> None:
    folder = data.class_folders(tmp_path / "data")
    engine = make("timm:resnet18", tmp_path / "run", folder, device="cuda")
    with pytest.raises(DrivetrainError, match="devices"):
        engine.train(1, image_size=64, devices=torch.cuda.device_count() + 1)
    assert not (tmp_path / "run").exists()


def test_when_memory_runs_out_training_goes_on_with_half_the_batch(tmp_path: Path) -> None:
    """Real GPU memory, held by this process until little is left."""
    folder = data.class_folders(tmp_path / "data", subsets={"train": 40, "val": 4, "test": 4})
    engine = make("timm:resnet18", tmp_path / "run", folder, device="cuda")
    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 3.0e9 / total))
    del free
    try:
        result = engine.train(1, image_size=384, batch_size=96, num_workers=2, adaptive_bs="safe")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    used = read_record(engine.work_dir)["effective_options"]["batch_size"]
    print("batch size", used, result.notes)
    assert used < 96
