"""The promises of the command line, with the real frameworks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivetrain.cli.main import main
from drivetrain.testing import data as toys

pytestmark = pytest.mark.slow
MINE = """
import lightning, torch
from torch.utils.data import DataLoader, TensorDataset

class Data(lightning.LightningDataModule):
    def __init__(self, count: int = 16, batch_size: int = 8):
        super().__init__()
        self.count, self.batch_size = count, batch_size

    def train_dataloader(self):
        images = torch.rand(self.count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(images, torch.arange(self.count) % 2), batch_size=self.batch_size)

    val_dataloader = train_dataloader

class Net(lightning.LightningModule):
    def __init__(self, width: int = 4):
        super().__init__()
        self.save_hyperparameters()
        pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), *pool, torch.nn.Linear(width, 2))

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
"""
RUNS = {
    "lightning": ("--model", "timm:test_resnet", "--image_size", "64", "--batch_size", "8"),
    "ultralytics": ("--model", "ultralytics:yolo11n-cls", "--image_size", "64", "--batch_size", "8"),
}


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("engine", RUNS)
def test_a_saved_config_repeats_a_run_with_the_same_result(engine: str, tmp_path: Path, capsys) -> None:
    data = toys.class_folders(tmp_path / "data")
    work = tmp_path / "first"
    words = ("train", *RUNS[engine], "--data", data, "--max_epochs", 2, "--num_workers", 0, "--deterministic")
    assert run(*words, "--work_dir", work) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert run("repeat", work, "--work_dir", tmp_path / "again", "--json") == 0, capsys.readouterr().err
    facts = json.loads(capsys.readouterr().out)
    assert (facts["same"], facts["metrics_same"], facts["weights_same"]) == (True, True, True)
    assert run("train", "--config", work / "config.yaml", "--seed", 1, "--work_dir", tmp_path / "other") == 0
    capsys.readouterr()
    from drivetrain.cli.repeat import compare
    from drivetrain.runs.record import read_record

    other = compare(work, read_record(work), tmp_path / "other", 0.0)
    assert other["weights_same"] is False, "the comparison can tell different weights"


def test_data_of_a_class_of_anomalib(tmp_path: Path, capsys) -> None:
    root = toys.mvtec(tmp_path / "data" / "toy").parent
    data = ["--data.class_path", "anomalib.data.MVTecAD", "--data.root", root, "--data.category", "toy"]
    data += ["--data.num_workers", 0, "--data.train_batch_size", 4, "--data.eval_batch_size", 4]
    model = ["--model", "Padim", "--model.pretrained", "false", "--model.n_features", 10]
    assert run("train", *model, *data, "--work_dir", tmp_path / "work", "--json") == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["last_checkpoint"]
    assert run("repeat", tmp_path / "work", "--work_dir", tmp_path / "again", "--json") == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["metrics_same"] is True
    assert run("train", *model, "--data.class_path", "os.system", "--data.command", "x") == 2
    assert (
        "'os.system' is not a class of an installed package; nothing was imported or called." in capsys.readouterr().err
    )
    assert run("train", *model, *data, "--data.catgory", "toy") == 2
    assert "Did you mean 'category'?" in capsys.readouterr().err


def test_a_module_and_data_of_the_users_own_by_dotted_path(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "mine_of_the_test.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = ["--model", "mine_of_the_test.Net", "--model.width", 3, "--max_epochs", 2]
    data = ["--data.class_path", "mine_of_the_test.Data", "--data.batch_size", 4]
    assert run("train", *model, *data, "--work_dir", tmp_path / "work", "--json") == 0, capsys.readouterr().err
    assert [row["epoch"] for row in json.loads(capsys.readouterr().out)["history"]] == [0, 1]
    assert run("repeat", tmp_path / "work", "--work_dir", tmp_path / "again", "--json") == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert run("train", *model, *data, "--data.cout", 3) == 2
    assert "Did you mean 'count'?" in capsys.readouterr().err


def test_a_data_yaml_of_ultralytics(tmp_path: Path, capsys) -> None:
    from drivetrain import load_dataset

    source = load_dataset(toys.coco(tmp_path / "coco"), task="detection")
    source.export(tmp_path / "yolo", "yolo", save_media=True)
    words = ["--data", tmp_path / "yolo" / "data.yaml", "--max_epochs", 1, "--image_size", 64, "--batch_size", 4]
    model = ["--model", "ultralytics:yolo11n", "--num_workers", 0]
    assert run("train", *model, *words, "--work_dir", tmp_path / "work", "--json") == 0, capsys.readouterr().err
    assert "val/map_50" in json.loads(capsys.readouterr().out)["metrics"]
