"""What the command line promises, with the frameworks themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivetrain.cli.main import main
from drivetrain.testing import data as toys

pytestmark = pytest.mark.slow
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
    from drivetrain.run import read_record

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
