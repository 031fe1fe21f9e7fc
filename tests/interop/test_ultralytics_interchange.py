"""Checkpoints can be exchanged between the ``yolo`` command and drivetrain; loaders and engines can share the data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine, load
from drivetrain.engines.lightning.engine import LightningEngine
from drivetrain.engines.ultralytics.engine import UltralyticsEngine
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data

pytestmark = pytest.mark.slow

COUNTS = {"train": 64, "val": 8, "test": 8}
SMALL: dict[str, Any] = {"batch_size": 8, "image_size": 64}


def _engine(model: Any, source: Any, work_dir: Path, **more: Any) -> Engine:
    engine = Engine(model, source, work_dir=work_dir, **more)
    engine.progress = SilentProgress()
    return engine


def _yolo(folder: Path, *arguments: str) -> str:
    """Run Ultralytics' own command, with separate settings and no network."""
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(folder / "config"), "YOLO_OFFLINE": "true"}
    environment |= {"YOLO_AUTOINSTALL": "false", "ULTRALYTICS_SAFE_LOAD": "1"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    fixed = ["imgsz=64", "batch=8", "plots=False", "device=cpu", f"project={folder}", "exist_ok=True"]
    command = [str(Path(sys.executable).parent / "yolo"), *arguments, *fixed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.yolo(tmp_path_factory.mktemp("shapes") / "data", subsets=COUNTS)


def test_what_the_yolo_command_trained_goes_on_here(shapes: Path, tmp_path: Path) -> None:
    _yolo(tmp_path, "detect", "train", "model=yolo11n.yaml", f"data={shapes}", "epochs=1", "name=theirs")
    best = tmp_path / "theirs" / "weights" / "best.pt"
    engine = _engine(best, shapes, tmp_path / "work")
    assert isinstance(engine, UltralyticsEngine)
    assert {"map", "map_50"} <= set(engine.test(subset="val"))
    result = engine.train(1, **SMALL)
    assert len(result.history) == 1
    assert engine.label_names == ("circle", "square")


@pytest.fixture(scope="module")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine: Any = _engine("ultralytics:yolo11n", shapes, tmp_path_factory.mktemp("trained") / "work")
    engine.result = engine.train(
        14, **SMALL, learning_rate=0.005, engine_args={"warmup_epochs": 0, "mosaic": 0.0, "close_mosaic": 0}
    )
    return engine


def test_what_was_trained_here_goes_on_with_the_yolo_command(trained: Any, shapes: Path, tmp_path: Path) -> None:
    best, last = trained.result.best_checkpoint, trained.result.last_checkpoint
    images = shapes.parent / "images" / "test"
    said = _yolo(tmp_path, "detect", "val", f"model={best}", f"data={shapes}", "name=val")
    assert "circle" in said
    _yolo(
        tmp_path, "detect", "predict", f"model={best}", f"source={images}", "name=predict", "save_txt=True", "conf=0.01"
    )
    assert len(list((tmp_path / "predict" / "labels").iterdir())) == COUNTS["test"]
    _yolo(tmp_path, "detect", "train", f"model={last}", f"data={shapes}", "epochs=1", "name=on")
    assert (tmp_path / "on" / "weights" / "last.pt").is_file()


def test_our_map_is_that_of_ultralytics(trained: Any, shapes: Path, tmp_path: Path) -> None:
    """Both evaluate the same state; Ultralytics interpolates the precision differently, so they are only close."""
    ours = trained.test(subset="val")
    theirs = trained.model.val(
        data=str(shapes), imgsz=64, batch=8, rect=False, plots=False, verbose=False, project=str(tmp_path), name="val"
    )
    assert ours["map_50"] > 0.5
    assert ours["map_50"] == pytest.approx(theirs.box.map50, abs=0.03)
    assert ours["map"] == pytest.approx(theirs.box.map, abs=0.03)


def test_the_artefact_has_the_map_of_the_model(trained: Any, shapes: Path) -> None:
    ours = trained.test()
    exported = Engine(load(trained.export("openvino").path, precision="f32"), shapes).test()
    for name in ("map", "map_50", "map_75"):
        assert exported[name] == pytest.approx(ours[name], abs=1e-3)


def test_one_data_set_trains_models_of_two_frameworks(tmp_path: Path) -> None:
    source = data.class_folders(tmp_path / "data", subsets=COUNTS)
    first = _engine("ultralytics:yolo11n-cls", source, tmp_path / "ultralytics")
    second = _engine("timm:mobilenetv3_small_050", source, tmp_path / "lightning", model_args={"pretrained": False})
    assert isinstance(first, UltralyticsEngine)
    assert isinstance(second, LightningEngine)
    histories = [engine.train(1, batch_size=6, image_size=32).metrics for engine in (first, second)]
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(histories[0]) & set(histories[1])
    metrics = [engine.test() for engine in (first, second)]
    common = [{name for name in found if not name.startswith("upstream/")} for found in metrics]
    assert common[0] == common[1]
    assert metrics[0].count == metrics[1].count
    assert first.label_names == second.label_names


def test_a_loader_of_ultralytics_own_trains_a_detector(shapes: Path, tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    from drivetrain.engines.ultralytics.containment import ultralytics

    package = ultralytics()  # an import by the test itself would leave Pillow and torch changed for the other tests
    from ultralytics.data.dataset import YOLODataset

    about = {"names": {0: "circle", 1: "square"}, "nc": 2, "channels": 3}
    loaders = {}
    for subset in ("train", "val"):
        images = YOLODataset(
            img_path=str(shapes.parent / "images" / subset), imgsz=64, augment=False, data=about, task="detect"
        )
        images.names = about["names"]
        loaders[subset] = DataLoader(images, batch_size=4, collate_fn=YOLODataset.collate_fn)
    engine = _engine(package.YOLO("yolo11n.yaml"), loaders, tmp_path / "work")
    result = engine.train(2, image_size=64)
    assert [row.epoch for row in result.history] == [0, 1]
    assert engine.label_names == ("circle", "square")
    assert len(engine.predict(str(shapes.parent / "images" / "test"))) == COUNTS["test"]
