# ruff: noqa: TID253 - tests use the frameworks outright
"""Mistakes in manual or scripted input are reported immediately, with a fitting message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
from PIL import Image

from drivetrain import Engine, UltralyticsEngine, load
from drivetrain.errors import (
    ArtifactError,
    CheckpointError,
    DataError,
    DataNotFoundError,
    ImageError,
    ModelError,
    OptionError,
    UnknownOptionError,
    UnsupportedError,
    UnsupportedOptionError,
)
from drivetrain.images.read import read_image
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data, toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("toys") / "data")


def test_an_engine_that_is_asked_for_must_take_the_model() -> None:
    module = lightning.LightningModule()
    for made in (lambda: UltralyticsEngine(module), lambda: Engine(module, engine="ultralytics")):
        with pytest.raises(
            ModelError, match=r"engine='ultralytics' takes ultralytics\.Model.*, not a .*LightningModule"
        ):
            made()


def test_other_names_of_options_lead_to_ours(folder: Path, tmp_path: Path) -> None:
    engine: Any = Engine(toy.ToyModel(), folder, work_dir=tmp_path / "run")
    with pytest.raises(UnknownOptionError, match=r"train has no option 'epochs'\. Did you mean 'max_epochs'\? It has"):
        engine.train(epochs=3)
    with pytest.raises(TypeError, match=r"train has no option 'lr'\. Did you mean 'learning_rate'"):
        engine.train(3, lr=0.1)
    with pytest.raises(OptionError, match=r"predict has no option 'conf'\. Did you mean 'confidence'"):
        engine.predict("x.jpg", conf=0.1)
    with pytest.raises(UnknownOptionError, match=r"Engine has no option 'workdir'\. Did you mean 'work_dir'"):
        Engine(toy.ToyModel(), folder, workdir=tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["test", "predict", "export"])
def test_a_sensitivity_is_refused_where_it_means_nothing(folder: Path, tmp_path: Path, verb: str) -> None:
    ask = getattr(Engine(toy.ToyModel(), folder, work_dir=tmp_path / "run"), verb)
    with pytest.raises(
        UnsupportedOptionError, match=r"sensitivity=0\.7 cannot be honoured: only models for .*'anomaly'"
    ):
        ask(sensitivity=0.7)
    for wrong in (1.5, -0.1, "high", float("nan"), True):
        with pytest.raises(OptionError, match=f"sensitivity={wrong!r} must be .*between 0 and 1"):
            ask(sensitivity=wrong)


@pytest.mark.parametrize("empty", ["", "  "])
def test_what_is_empty_is_not_the_current_folder(empty: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model=' *' is empty; is a variable unset"):
        Engine(empty)
    with pytest.raises(DataNotFoundError, match=r"data=' *' is empty"):
        Engine(toy.ToyModel(), empty)
    engine: Any = Engine(toy.ToyModel(), folder, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train(1)
    with pytest.raises(DataNotFoundError, match=r"source=' *' is empty"):
        engine.predict(empty)
    with pytest.raises(DataNotFoundError, match=r"data=' *' is empty"):
        engine.test(empty)


def test_arguments_of_another_type_are_refused_in_words(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"work_dir=' ' is empty; is a variable unset\? Leave work_dir out"):
        Engine(toy.ToyModel(), folder, work_dir=" ")
    with pytest.raises(OptionError, match=r"work_dir=3 must be a path"):
        Engine(toy.ToyModel(), folder, work_dir=3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"model_args=\[1\] must be a mapping"):
        Engine("timm:resnet18", folder, model_args=[1])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"subset=None must be a text"):
        Engine(toy.ToyModel(), folder, work_dir=tmp_path / "run").test(subset=None)
    for wrong, said in (("", "is empty; is a variable unset"), (None, "is no path"), (3, "is no path")):
        with pytest.raises(ArtifactError, match=f"path={wrong!r} {said}"):
            load(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["SAM", "FastSAM", "NAS"])
def test_classes_that_train_nothing_are_refused_at_once(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"Ultralytics' {name} .* neither trained nor tested here"):
        Engine(f"ultralytics.{name}")


def test_a_checkpoint_is_no_artefact(tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    file.write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"best\.ckpt' is a checkpoint, not an artefact\. Export it: `Engine"):
        load(file)


def test_broken_safetensors_are_a_checkpoint_error(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(b"\x00" * 40)
    engine: Any = Engine("timm:test_resnet", folder, work_dir=tmp_path / "run", device="cpu")
    engine.progress = SilentProgress()
    with pytest.raises(CheckpointError, match="is damaged or not a checkpoint"):
        engine.train(1, checkpoint=file)


def test_an_export_names_the_place_where_the_data_were(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    engine: Any = Engine(toy.ToyModel(), copy, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train(1)
    shutil.rmtree(copy)
    again: Any = Engine(tmp_path / "run", engine="toy")
    for verb in (again.export, again.train):
        with pytest.raises(DataError, match=rf"Those of the run were in '{copy}', which no longer exists"):
            verb()


def test_a_png_whose_checksum_is_wrong_is_not_predicted_in_silence(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 30, 3), np.uint8)).save(file)
    content = bytearray(file.read_bytes())
    read_image(file)
    at = content.index(b"IDAT") + 4
    length = int.from_bytes(content[at - 8 : at - 4])
    content[at + length] ^= 1  # the checksum itself: the pixels still decode
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png' is damaged: the checksum of its chunk IDAT is wrong"):
        read_image(file)
    assert json.dumps(str(file))


def test_what_would_bring_the_machine_down_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy.ToyFramework, "unsupported_options", {})
    engine = Engine("toy:linear", folder, work_dir=tmp_path / "work")
    with pytest.raises(OptionError, match=r"^num_workers=100000 must be at most \d+ on \d+ cores\.$"):
        engine.train(num_workers=100_000)
    with pytest.raises(OptionError, match=r"^image_size=1000000: training on a single image .* GiB are free\."):
        engine.train(image_size=1_000_000)
    assert not (tmp_path / "work").exists()
