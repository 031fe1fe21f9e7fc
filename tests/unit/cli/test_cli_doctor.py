"""``drivetrain doctor`` says what is wrong and what to run."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from drivetrain.cli import doctor
from drivetrain.cli.main import main
from drivetrain.models import registry


def findings(capsys, *words: str, code: int = 0) -> dict[str, dict[str, str]]:
    assert main(["doctor", *words, "--json"]) == code
    return {row["about"]: row for row in json.loads(capsys.readouterr().out)}


@pytest.fixture
def one_opencv(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "opencv_wheels", lambda: ["opencv-python-headless"])


def test_a_sound_installation(toy, one_opencv, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = findings(capsys, "--quick")
    assert not [row for row in found.values() if row["state"] == "problem"]
    assert found["engine toy"]["state"] == "ok"
    assert "HF_HUB_OFFLINE=1" in found["offline switches"]["text"]
    assert "cores" in found["machine"]["text"]
    assert main(["doctor", "--quick"]) == 0
    assert "OpenCV" in capsys.readouterr().out


def test_two_wheels_of_opencv(toy, monkeypatch, capsys) -> None:
    both = [SimpleNamespace(metadata={"Name": name}) for name in ("opencv_python", "opencv-python-headless")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: both)
    row = findings(capsys, "--quick", code=1)["OpenCV"]
    assert row["state"] == "problem"
    assert row["run"].startswith("pip uninstall -y opencv-python opencv-python-headless && pip install")
    assert main(["doctor", "--quick"]) == 1
    out = capsys.readouterr().out
    assert "problem: OpenCV: 2 wheels overwrite each other" in out
    assert "  run: pip uninstall" in out


def test_an_upstream_outside_of_its_range(toy, one_opencv, monkeypatch, capsys) -> None:
    spec = replace(toy.spec, upstream={"numpy": "<1"})
    monkeypatch.setitem(registry._registered, "toy", spec)
    row = findings(capsys, "--quick", code=1)["engine toy"]
    assert "is not <1" in row["text"]
    assert row["run"] == 'pip install "numpy<1"'
    monkeypatch.setitem(registry._registered, "toy", replace(spec, packages=("no_such_package",)))
    row = findings(capsys, "--quick")["engine toy"]
    assert (row["state"], row["run"]) == ("note", "pip install toys")


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("2.7.0", ">=2.7,<3", True),
        ("3.0", ">=2.7,<3", False),
        ("2.14.1+cpu", ">=2.6", True),
        ("2.8.0.dev1", ">=2.7", True),
        ("unknown", ">=1", False),
    ],
)
def test_fits(version: str, wanted: str, expected: bool) -> None:
    assert doctor.fits(version, wanted) is expected


def test_a_typo_in_a_variable_is_a_problem(toy, one_opencv, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DRIVETRAIN_MAX_EPOCH", "3")
    row = findings(capsys, "--quick", code=1)["environment"]
    assert "Did you mean 'DRIVETRAIN_MAX_EPOCHS'" in row["text"]
    assert row["run"] == "unset DRIVETRAIN_MAX_EPOCH"
    monkeypatch.delenv("DRIVETRAIN_MAX_EPOCH")
    monkeypatch.setenv("DRIVETRAIN_MAX_EPOCHS", "3")
    assert findings(capsys, "--quick")["environment"]["state"] == "note"


def test_engines_are_imported_in_a_process_of_their_own(toy, one_opencv, tmp_path, capsys) -> None:
    row = findings(capsys)["import of toy"]
    assert (row["state"], row["text"]) == ("ok", "toys")
    (tmp_path / "site" / "toys.py").write_text("raise OSError('libGL is missing')")
    row = findings(capsys, code=1)["import of toy"]
    assert (row["state"], row["text"]) == ("problem", "OSError: libGL is missing")
    assert row["run"] == "pip install toys"


def test_devices_are_named() -> None:
    facts = {"torch": {"cuda": 2, "xpu": 0, "mps": 0, "threads": 4}, "openvino": ["CPU", "GPU.0"]}
    texts = [finding.text for finding in doctor._devices(facts)]
    assert texts == ["2 cuda, cpu with 4 threads", "CPU, GPU.0"]
