"""The user's own LightningModule and data go through Lightning's trainer unchanged."""

# ruff: noqa: TID253  (tests of this framework)
from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from drivetrain import Engine, load
from drivetrain.engines.lightning.engine import LightningEngine
from drivetrain.errors import CheckpointError, DataError, OptionError, UnsupportedError, UnsupportedOptionError
from drivetrain.types import ImageSpec


def toy_loader(seed: int = 0, *, shuffle: bool = False) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(24, 4, generator=generator)
    return DataLoader(TensorDataset(values, (values.sum(dim=1) > 0).long()), batch_size=8, shuffle=shuffle)


class Plain(lightning.LightningModule):
    """Numbers in, two classes out: nothing of images, nothing of drivetrain."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2))
        self.seen: list[str] = []

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_acc", (self(batch[0]).argmax(dim=1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]


class Numbers(lightning.LightningDataModule):
    def train_dataloader(self) -> Any:
        return toy_loader(0, shuffle=True)

    def val_dataloader(self) -> Any:
        return toy_loader(1)

    def test_dataloader(self) -> Any:
        return toy_loader(2)


def loaders() -> dict[str, Any]:
    return {"train": toy_loader(0, shuffle=True), "val": toy_loader(1), "test": toy_loader(2)}


@pytest.mark.parametrize("data", [Numbers(), loaders(), tuple(loaders().values())], ids=["datamodule", "dict", "tuple"])
def test_a_module_of_the_users_own_trains_and_tests_as_with_lightning_alone(data: Any, tmp_path: Path) -> None:
    lightning.seed_everything(5)
    alone = Plain()
    start = {name: value.clone() for name, value in alone.state_dict().items()}
    ours = Plain()
    ours.load_state_dict(start)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    torch.manual_seed(7)
    np.random.seed(7)
    trainer.fit(alone, *((loaders()["train"], loaders()["val"])))
    expected = trainer.test(alone, loaders()["test"], verbose=False)[0]["test_acc"]

    engine = Engine(ours, data, work_dir=tmp_path / "run", device="cpu")
    assert isinstance(engine, LightningEngine)
    result = engine.train(3, seed=7)

    assert [record.epoch for record in result.history] == [0, 1, 2]
    assert {"train_loss", "val_loss", "learning_rate"} <= set(result.history[0].metrics)
    assert result.best_checkpoint is not None
    metrics = engine.test(checkpoint="last")
    for name, value in alone.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    assert metrics["upstream/test_acc"] == pytest.approx(expected)


def test_callbacks_loggers_and_trainer_arguments_reach_lightning(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    class Watch(lightning.Callback):
        def __init__(self) -> None:
            self.clip: object = None
            self.epochs = 0

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.clip = trainer.gradient_clip_val
            self.epochs += 1

    watch, logger = Watch(), CSVLogger(tmp_path / "logs")
    engine = Engine(Plain(), Numbers(), work_dir=tmp_path / "run", device="cpu")
    engine.train(2, callbacks=[watch], logger=logger, engine_args={"gradient_clip_val": 0.25, "log_every_n_steps": 1})
    assert (watch.clip, watch.epochs) == (0.25, 2)
    assert list((tmp_path / "logs").rglob("metrics.csv"))


def test_resume_extends_a_run_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = Plain().state_dict()

    def fresh() -> Plain:
        module = Plain()
        module.load_state_dict(start)
        return module

    whole, parts = fresh(), fresh()
    Engine(whole, Numbers(), work_dir=tmp_path / "whole", device="cpu").train(4, deterministic=True)
    Engine(parts, Numbers(), work_dir=tmp_path / "parts", device="cpu").train(2, deterministic=True)
    again = fresh()
    Engine(again, Numbers(), work_dir=tmp_path / "parts", device="cpu").train(4, deterministic=True, resume=True)
    last = torch.load(tmp_path / "whole" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    other = torch.load(tmp_path / "parts" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(last[name], other[name]) for name in last)


def test_checkpoints_go_both_ways_between_lightning_and_drivetrain(tmp_path: Path) -> None:
    engine = Engine(Plain(width=6), Numbers(), work_dir=tmp_path / "run", device="cpu")
    result = engine.train(1)
    opened = Plain.load_from_checkpoint(result.last_checkpoint, weights_only=True)
    assert opened.hparams["width"] == 6

    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, default_root_dir=tmp_path, logger=False, enable_progress_bar=False
    )
    theirs = Plain()
    trainer.fit(theirs, Numbers())
    trainer.save_checkpoint(tmp_path / "theirs.ckpt")
    ours = Plain()
    Engine(ours, Numbers(), work_dir=tmp_path / "other", device="cpu").test(checkpoint=tmp_path / "theirs.ckpt")
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())

    with pytest.raises(CheckpointError, match=r"does not fit Plain"):
        Engine(Plain(width=5), Numbers(), device="cpu").test(checkpoint=tmp_path / "theirs.ckpt")
    with pytest.raises(CheckpointError, match=r"is of the LightningModule .*Plain, which only your code can create"):
        Engine(str(result.last_checkpoint)).predict(np.zeros((4, 4, 3), np.uint8))


def test_the_upstream_changes_nothing_in_the_process_or_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    module = Plain()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Engine(module, Numbers(), work_dir=tmp_path / "run", device="cpu").train(1, deterministic=True)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not list((tmp_path / "here").iterdir())
    out, errors = capfd.readouterr()
    assert out == ""
    assert [line for line in errors.splitlines() if not line.startswith("epoch 1/1:")] == []


@pytest.mark.parametrize(
    ("name", "value", "owner"),
    [
        ("batch_size", 4, "your own loaders or datamodule"),
        ("num_workers", 1, "your own loaders or datamodule"),
        ("image_size", 64, "your own loaders or datamodule"),
        ("learning_rate", 0.1, "your own LightningModule"),
    ],
)
def test_options_that_module_or_data_fix_are_refused_by_name(name: str, value: Any, owner: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match=rf"{name}={value}.*{owner}"):
        Engine(Plain(), Numbers(), work_dir=tmp_path / "run", device="cpu").train(1, **{name: value})
    assert not (tmp_path / "run").exists()


def test_trainer_arguments_are_checked(tmp_path: Path) -> None:
    engine = Engine(Plain(), Numbers(), work_dir=tmp_path / "run", device="cpu")
    with pytest.raises(OptionError, match=r"gradient_clip_vall.*Did you mean 'gradient_clip_val'"):
        engine.train(1, engine_args={"gradient_clip_vall": 1})
    with pytest.raises(UnsupportedOptionError, match=r"max_epochs is set by train\(max_epochs=...\)"):
        engine.train(1, engine_args={"max_epochs": 1})
    with pytest.raises(OptionError, match="is not a callback of lightning"):
        engine.train(1, callbacks=[object()])
    with pytest.raises(UnsupportedOptionError, match=r"precision='fp16'.*Allowed there: auto, fp32, bf16"):
        engine.train(1, precision="fp16")


def test_a_metric_that_is_not_logged_is_refused_with_those_that_are(tmp_path: Path) -> None:
    engine = Engine(Plain(), Numbers(), work_dir=tmp_path / "run", device="cpu")
    with pytest.raises(OptionError, match=r"metric='val_los' is not logged. Did you mean 'val_loss'"):
        engine.train(1, metric="val_los")


def test_patience_stops_on_the_metric(tmp_path: Path) -> None:
    class Flat(Plain):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("score", 0.5)

    engine = Engine(Flat(), Numbers(), work_dir=tmp_path / "run", device="cpu")
    result = engine.train(20, metric="score", patience=2)
    assert len(result.history) == 3
    with pytest.raises(OptionError, match="patience=2 needs a metric"):
        Engine(Flat(), Numbers(), work_dir=tmp_path / "other", device="cpu").train(20, patience=2)


def test_validation_after_every_so_many_epochs(tmp_path: Path) -> None:
    result = Engine(Plain(), Numbers(), work_dir=tmp_path / "run", device="cpu").train(4, check_val_every_n_epoch=2)
    assert ["val_loss" in record.metrics for record in result.history] == [False, True, False, True]


def test_a_folder_for_a_module_of_the_users_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"is trained on its own data.*LightningDataModule"):
        Engine(Plain(), tmp_path / "data", work_dir=tmp_path / "run", device="cpu").train(1)


class Pictures(lightning.LightningModule):
    """A module that says all that predicting needs."""

    image_spec = ImageSpec(height=8, width=8)
    task = "classification"
    label_names = ("dark", "light")

    def forward(self, images: Tensor) -> Tensor:
        light = images.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-light, light], dim=1) * 10


def test_predict_names_the_attributes_that_are_missing() -> None:
    engine = Engine(Plain(), Numbers(), device="cpu")
    with pytest.raises(UnsupportedError, match=r"Plain lacks .*`image_spec`.*`label_names`.*`task`"):
        engine.predict(np.zeros((8, 8, 3), np.uint8))


def test_predict_and_export_work_with_the_attributes(tmp_path: Path) -> None:
    engine = Engine(Pictures(), work_dir=tmp_path / "run", device="cpu")
    random = np.random.default_rng(0)
    files = []
    for number, value in enumerate((20, 230)):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(random.integers(value - 20, value + 20, (10, 12, 3)).astype(np.uint8)).save(files[-1])
    predictions = engine.predict(files)
    assert [predictions.label_names[int(item.labels[0])] for item in predictions] == ["dark", "light"]
    artifact = engine.export("openvino", images=files)
    assert [int(item.labels[0]) for item in load(artifact.path).predict(files)] == [0, 1]
