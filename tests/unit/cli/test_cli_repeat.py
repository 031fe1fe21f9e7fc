"""A finished run is run again, and the results are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivetrain.cli.main import main


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def finished(toy, calls, colours: Path, tmp_path: Path, capsys) -> Path:
    work = tmp_path / "work"
    words = ("--model", "MeanSmall", "--data", colours, "--work_dir", work, "--max_epochs", 2, "--deterministic")
    assert run("train", *words) == 0
    capsys.readouterr()
    return work


def test_the_same_result(finished: Path, calls, tmp_path: Path, capsys) -> None:
    first = calls["options"]
    again = tmp_path / "again"
    assert run("repeat", finished, "--work_dir", again, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert calls["options"] == first
    assert (facts["same"], facts["metrics_same"], facts["weights_same"]) == (True, True, True)
    assert (facts["differences"], facts["changed"], facts["work_dir"]) == ([], [], str(again))
    assert run("repeat", finished, "--work_dir", again, "--overwrite", "--quiet") == 0
    out, err = capsys.readouterr()
    assert "The result is the same." in out
    assert "epoch 1/2" not in err


def test_another_result_is_code_1(finished: Path, colours: Path, tmp_path: Path, capsys) -> None:
    table = finished / "metrics.csv"
    table.write_text(table.read_text().replace("0.2", "0.25"))
    record = json.loads((finished / "run.json").read_text())
    record["environment"]["versions"]["numpy"] = "1.0"
    (finished / "run.json").write_text(json.dumps(record))
    (colours / "red" / "1.png").unlink()
    assert run("repeat", finished, "--work_dir", tmp_path / "again") == 1
    out = capsys.readouterr().out
    assert "The result is NOT the same; the largest difference is 0.05." in out
    assert "changed: numpy was 1.0 and is " in out
    assert "changed: The data have changed: their fingerprint is different." in out
    assert run("repeat", finished, "--work_dir", tmp_path / "third", "--tolerance", "0.1") == 0


def test_other_weights_count_if_the_run_was_deterministic(finished: Path, tmp_path: Path, capsys) -> None:
    (finished / "checkpoints" / "last.json").write_text("{}")
    assert run("repeat", finished, "--work_dir", tmp_path / "again") == 1
    assert "weights   different" in capsys.readouterr().out


def test_what_cannot_be_repeated(finished: Path, tmp_path: Path, capsys) -> None:
    assert run("repeat", tmp_path) == 2
    assert "is not the work dir of a run: it has no run.json." in capsys.readouterr().err
    assert run("repeat", finished, "--work_dir", finished) == 2
    assert "is the run itself. Give another --work_dir ... to compare with it." in capsys.readouterr().err
    assert run("repeat", finished, "--tolerance", "-1") == 2
    assert "--tolerance -1.0 must be at least 0." in capsys.readouterr().err
    (finished / "config.yaml").unlink()
    assert run("repeat", finished) == 2
    assert "it was created from objects of a Python process" in capsys.readouterr().err
    record = json.loads((finished / "run.json").read_text())
    (finished / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    assert run("repeat", finished) == 2
    assert (
        "is not finished (interrupted after epoch 2 of 2). Finish it first, with --resume." in capsys.readouterr().err
    )


def test_a_config_of_a_newer_version_is_refused(finished: Path, capsys) -> None:
    config = finished / "config.yaml"
    config.write_text(config.read_text().replace("drivetrain: 0.", "drivetrain: 99."))
    assert run("repeat", finished) == 2
    err = capsys.readouterr().err
    assert "was written by drivetrain 99." in err
    assert "Upgrade with: pip install -U drivetrain, or remove its line 'drivetrain: 99." in err
    config.write_text("drivetrain: newest\nmodel: MeanSmall\n")
    assert run("train", "--config", config) == 2
    assert "drivetrain='newest' is not a version." in capsys.readouterr().err
