# ruff: noqa: TID253 - tests use the frameworks outright
"""Our options translated to Lightning's trainer, with one meaning for every engine that uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from drivetrain import Engine
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data
from drivetrain.torch_training.trainer import first_named, precision_of, trainer_settings
from drivetrain.types.options import TrainOptions

PACKAGE = "lightning.pytorch"
MODELS = {"lightning": "timm:test_resnet", "anomalib": "anomalib:Stfpm"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {"lightning": data.class_folders(root / "classes"), "anomalib": data.mvtec(root / "bottles")}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"precision": "fp16"}, UnsupportedOptionError, r"precision='fp16' cannot be honoured on the CPU"),
        ({"devices": 1000}, OptionError, r"devices=1000(: this machine has \d+ core| cannot be honoured)"),
        ({"callbacks": [print]}, OptionError, r"is not a callback of lightning\.pytorch"),
        ({"logger": print}, OptionError, r"is not a logger of lightning\.pytorch"),
        (
            {"engine_args": {"precision": 16}},
            UnsupportedOptionError,
            r"precision is set by train\(precision",
        ),
        ({"engine_args": {"val_check_interval": 1}}, UnsupportedOptionError, r"is set by train\(val_check_interval"),
        ({"val_check_interval": 1.5}, OptionError, r"val_check_interval=1\.5: a fraction of an epoch"),
        ({"val_check_interval": 0}, OptionError, r"a number of batches is at least 1"),
        ({"check_val_every_n_epoch": 5, "max_epochs": 3}, OptionError, r"nothing would ever be validated"),
        (
            {"check_val_every_n_epoch": 51},
            OptionError,
            r"more than max_epochs=\d0, the engine's default",
        ),
    ],
)
def test_what_no_trainer_can_do_is_refused_alike(
    name: str, options: dict[str, Any], error: type[Exception], text: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    engine: Any = Engine(MODELS[name], folders[name], work_dir=tmp_path / "run", device="cpu")
    engine.progress = SilentProgress()
    with pytest.raises(error, match=text):
        engine.train(**options)
    assert not (tmp_path / "run").exists()


def test_each_option_reaches_the_trainer() -> None:
    callback = lightning.Callback()
    options = TrainOptions(
        max_epochs=7, precision="bf16", deterministic=True, callbacks=[callback], val_check_interval=0.25
    )
    trainer = lightning.Trainer(**trainer_settings(options, device="cpu", package=PACKAGE), enable_checkpointing=False)
    assert (trainer.max_epochs, trainer.precision, trainer.val_check_interval) == (7, "bf16-mixed", 0.25)
    assert (trainer.num_devices, trainer.check_val_every_n_epoch, trainer.loggers) == (1, 1, [])
    assert callback in trainer.callbacks
    torch.use_deterministic_algorithms(False)
    settings = trainer_settings(TrainOptions(check_val_every_n_epoch=3), device="cpu", package=PACKAGE)
    assert settings["check_val_every_n_epoch"] == 3
    assert "val_check_interval" not in settings


def test_automatic_precision_is_a_fact_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision_of("auto", "cpu") == "32-true"
    for able, expected in ((True, "bf16-mixed"), (False, "16-mixed")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able: able)
        assert precision_of("auto", "gpu") == expected


def test_a_share_of_an_epoch_validates_within_it(folders: dict[str, Path], tmp_path: Path) -> None:
    seen: list[int] = []

    class Count(lightning.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append(trainer.global_step)

    engine: Any = Engine(MODELS["lightning"], folders["lightning"], work_dir=tmp_path / "run", device="cpu")
    engine.progress = SilentProgress()
    engine.train(1, val_check_interval=0.5, batch_size=2, image_size=32, callbacks=[Count()])
    assert len(seen) == 2, "twice in an epoch"
    assert engine.used_value("val_check_interval") == 0.5


@pytest.mark.parametrize("options", [{"val_check_interval": 500}, {"engine_args": {"limit_train_batches": -3}}])
def test_what_the_trainer_itself_refuses_is_an_option_error(
    options: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    engine: Any = Engine(MODELS["lightning"], folders["lightning"], work_dir=tmp_path / "run", device="cpu")
    engine.progress = SilentProgress()
    said = (
        r"^limit_train_batches is refused|^The trainer of lightning"
        if "engine_args" in options
        else r"^val_check_interval=500 is more than the \d+ batches of an epoch, so nothing would ever be validated"
    )
    with pytest.raises(OptionError, match=said):
        engine.train(1, batch_size=4, image_size=32, **options)


def test_a_refusal_is_about_the_option_that_is_named_first() -> None:
    said = "`val_check_interval` (5) must be at most 2. Or set `limit_val_batches` to 0.0."
    assert first_named(said, ["limit_val_batches", "val_check_interval", "x"]) == "val_check_interval"
    assert first_named("the disk is on fire", ["x"]) is None


def test_an_anomaly_model_that_would_never_validate_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    made = {"device": "cpu", "model_args": {"pretrained": False}}
    engine: Any = Engine("anomalib:Stfpm", folders["anomalib"], work_dir=tmp_path / "run", **made)
    engine.progress = SilentProgress()
    with pytest.raises(OptionError, match=r"^val_check_interval=99 is more than the \d+ batches"):
        engine.train(1, image_size=32, val_check_interval=99)
