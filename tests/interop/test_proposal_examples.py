"""The examples of the proposal that this package originates from, as written there, with the names used here.

OpenVINO Training Extensions' "Engine refactor": one model, one engine; ``Engine(model)`` is a factory, and the verbs
have Lightning's arguments. One thing always differs: the data are passed to the constructor, next to the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import drivetrain
from drivetrain import Engine, load
from drivetrain.engine import FitResult, Framework
from drivetrain.errors import UnsupportedOptionError
from drivetrain.models import registry
from drivetrain.models.spec import EngineSpec
from drivetrain.testing import data, toy
from drivetrain.types import Prediction, Task
from drivetrain.types.options import TrainOptions


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "classes")


@pytest.fixture(scope="module")
def bottles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.mvtec(tmp_path_factory.mktemp("data") / "bottles")


# --- the three of the proposal -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_engine_anomaly(bottles: Path, tmp_path: Path) -> None:
    """There: ``engine = Engine(Padim()); engine.train(MVTec(root=...))``."""
    from anomalib.data import MVTecAD
    from anomalib.models import Padim

    size = Padim.configure_pre_processor((64, 64))
    model = Padim(pre_trained=False, layers=["layer1"], n_features=20, pre_processor=size, visualizer=False)
    datamodule = MVTecAD(root=bottles.parent, category=bottles.name, train_batch_size=4, num_workers=0)
    engine = Engine(model, datamodule, work_dir=tmp_path / "run")
    assert isinstance(engine, drivetrain.AnomalibEngine)
    result = engine.train()
    assert len(result.history) == 1
    assert engine.model is model
    assert engine.test()["image_auroc"] >= 0


@pytest.mark.slow
def test_engine_classification(classes: Path, tmp_path: Path) -> None:
    """There: ``engine.train(datamodule, max_epochs=1, deterministic=False, val_check_interval=0.5)``."""
    import timm

    model = timm.create_model("test_resnet", num_classes=3)
    engine = Engine(model, classes, work_dir=tmp_path / "run")
    assert isinstance(engine, drivetrain.LightningEngine)
    result = engine.train(max_epochs=1, deterministic=False, val_check_interval=0.5, image_size=32, num_workers=0)
    assert [row.epoch for row in result.history] == [0]
    assert "val/accuracy" in result.metrics


@pytest.mark.slow
def test_engine_ultralytics(classes: Path, tmp_path: Path) -> None:
    """There: ``engine = Engine(YOLO(...)); engine.train(datamodule=DataLoader(ClassificationDataset(...)))``."""
    from torch.utils.data import DataLoader
    from ultralytics import YOLO
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset

    dataset = ClassificationDataset(str(classes / "train"), get_cfg(overrides={"imgsz": 32}))
    dataloader = DataLoader(dataset, batch_size=8, shuffle=True)
    engine = Engine(YOLO("yolov8n-cls.yaml"), dataloader, work_dir=tmp_path / "run")
    assert isinstance(engine, drivetrain.UltralyticsEngine)
    engine.train(max_epochs=1, image_size=32)
    with pytest.raises(UnsupportedOptionError, match="Ultralytics validates after whole epochs"):
        engine.train(max_epochs=1, val_check_interval=0.5, overwrite=True)


# --- its rules: one model one engine, the arguments of train, an engine of one's own -------------------------------


@pytest.mark.slow
def test_a_module_of_ones_own_with_its_datamodule(tmp_path: Path) -> None:
    import lightning.pytorch as lightning
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    class DataModule(lightning.LightningDataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(torch.randn(16, 4), torch.arange(16) % 2), batch_size=4)

        val_dataloader = train_dataloader

    model = Module()
    engine = Engine(model, DataModule(), work_dir=tmp_path / "run")
    assert isinstance(engine, drivetrain.LightningEngine)
    result = engine.train(max_epochs=1, val_check_interval=0.5, metric="val_loss")
    assert result.best_checkpoint is not None
    assert engine.model is model


@pytest.mark.slow
def test_train_export_and_the_engine_of_the_artefact(classes: Path, tmp_path: Path) -> None:
    """There: an ``OVEngine``; here an artefact is a model like any other, and ``load`` needs no engine at all."""
    engine = Engine("timm:test_resnet", classes, work_dir=tmp_path / "run", model_args={"pretrained": False})
    engine.train(max_epochs=1, seed=1, precision="fp32", image_size=32, num_workers=0)
    artifact = engine.export("openvino")
    deployed = Engine(artifact.path, classes)
    assert isinstance(deployed, drivetrain.OpenVINOEngine)
    assert deployed.test()["accuracy"] == pytest.approx(engine.test()["accuracy"])
    answers = load(artifact.path).predict(classes / "test")
    assert [item.label_name for item in answers] == [item.label_name for item in engine.predict(classes / "test")]
    again = Engine(tmp_path / "run", classes)
    assert isinstance(again, drivetrain.LightningEngine)
    assert again.label_names == engine.label_names


@pytest.mark.slow
def test_train_with_a_search_and_a_fitting_batch_size(classes: Path, tmp_path: Path) -> None:
    """``run_hpo``, ``hpo_config`` and ``adaptive_bs``: there for one engine, here for each."""
    engine = Engine("toy:linear", classes, work_dir=tmp_path / "run")
    space = {"space": {"learning_rate": [0.01, 0.1]}, "trials": 2, "workers": 1}
    result = engine.train(max_epochs=1, run_hpo=True, hpo_config=space, adaptive_bs="safe")
    assert any("The search of 2 trials chose learning_rate=" in note for note in result.notes)
    assert any(note.startswith("adaptive_bs='safe': batch_size=") for note in result.notes)


def test_a_recipe_is_a_model(classes: Path, tmp_path: Path) -> None:
    """There: ``otx train --config recipe.yaml``."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: toy:linear\nmax_epochs: 2\nbatch_size: 4\n", encoding="utf-8")
    engine = Engine(recipe, classes, work_dir=tmp_path / "run")
    assert isinstance(engine, toy.ToyEngine)
    assert len(engine.train().history) == 2
    assert len(Engine(recipe, classes, work_dir=tmp_path / "other").train(max_epochs=1).history) == 1


class Average:
    """A model without any framework: the brightness of an image determines its class."""

    def __init__(self) -> None:
        self.levels: NDArray[np.float32] = np.zeros(0, np.float32)


class AverageFramework(Framework):
    """Three hooks, and one more for each additional verb."""

    unsupported_options: ClassVar[Mapping[str, str]] = {"patience": "one look at the images is enough"}

    @property
    def model(self) -> Any:
        return self.given

    def build(self, options: TrainOptions | None = None) -> None:
        del options

    def fit(self, options: TrainOptions, run: Any, *, resume: bool) -> FitResult:
        from drivetrain.images.read import read_image

        train = self.dataset.subset("train")
        means = np.array([read_image(path).mean() for path in train.paths])
        labels = train.image_labels
        self.model.levels = np.array([means[labels == label].mean() for label in range(len(self.label_names))])
        run.log_epoch(0, {"train/loss": 0.0})
        last = run.checkpoints / "last.txt"
        last.write_text(str(self.model.levels), encoding="utf-8")
        return FitResult(None, last)

    def load_state(self, checkpoint: Path) -> None:
        del checkpoint  # the object has learnt it

    def infer(self, images: Any, *, batch_size: int | None, confidence: float) -> Iterator[Prediction]:
        for path, image in images:
            distances = -np.abs(self.model.levels - image.mean())
            shares = np.exp(distances - distances.max())
            shares = (shares / shares.sum()).astype(np.float32)
            best = shares.argmax(keepdims=True)
            yield Prediction(path, image.shape[:2], labels=best, scores=shares[best], probabilities=shares)


AVERAGE = EngineSpec(
    name="average",
    class_path=f"{__name__}:AverageEngine",
    install="nothing",
    claims=(f"{__name__.partition('.')[0]}:Average",),
    tasks=(Task.CLASSIFICATION,),
    hooks=("infer", "fit", "load_state"),
)


class AverageEngine(Engine):
    """There: a class with ``is_valid_model`` and the decorator; here replaced by the claims of a spec."""

    spec = AVERAGE
    framework_class = AverageFramework


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the decorator ``@register_engine(AVERAGE)`` does, for one test."""
    for name in ("_registered", "_classes"):
        monkeypatch.setattr(registry, name, {**getattr(registry, name)})
    registry.register_engine(AVERAGE)(AverageEngine)


@pytest.mark.usefixtures("_registered")
def test_an_engine_of_ones_own_is_found_by_its_model(classes: Path, tmp_path: Path) -> None:
    engine = Engine(Average(), classes, work_dir=tmp_path / "run")
    assert isinstance(engine, AverageEngine)
    engine.train()
    assert engine.test()["accuracy"] >= 0
    assert len(engine.predict()) == 18
    with pytest.raises(UnsupportedOptionError, match="one look at the images is enough"):
        engine.train(patience=2, overwrite=True)
