"""What a test measures is in the report of its run, and only there, and never in the way of the test."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.engine.run_report import report_test
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data, toy
from drivetrain.testing.disk import ERRORS, FailingDisk
from drivetrain.types import Metrics


class Told(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def told(*arguments: Any, **more: Any) -> Any:
    engine: Any = Engine(*arguments, **more)
    engine.progress = Told()
    return engine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    folder = data.class_folders(root / "data")
    told(toy.ToyModel(), folder, work_dir=root / "run").train(2, image_size=6, batch_size=4)
    return root / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def kept_tests(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "tests.json").read_text())["tests"]
    return found


def test_a_test_is_added_and_its_repetition_replaces_it(run: Path, finished: Path, tmp_path: Path) -> None:
    before = (run / "report.html").read_text()
    engine = told(run)
    metrics = engine.test()
    assert engine.progress.notes == [f"The report has this test: {run / 'report.html'}"]
    engine.test()
    engine.test(subset="val")
    other = data.class_folders(tmp_path / "other", seed=3)
    engine.test(other)
    about = [(item["about"]["data"], item["about"]["subset"]) for item in kept_tests(run)]
    source = json.loads((run / "run.json").read_text())["data"]["source"]
    assert about == [(source, "test"), (source, "val"), (str(other), "test")]
    page = (run / "report.html").read_text()
    assert f"Test on {metrics.count} images of {source} (test, checkpoint best.npz)" in page
    assert page.index(str(other)) < page.index(f"of {source} (val")
    assert "Confusion matrix" in page
    assert before.partition("<h1>")[2].partition("</h1>")[0] in page
    assert '<b class="good">finished</b>' in page
    assert f"<b>{metrics['accuracy']:.4f}</b>" in page
    assert (run / "run.json").read_text() == (finished / "run.json").read_text()


def test_training_on_forgets_the_tests_of_earlier_weights(run: Path) -> None:
    told(run).test()
    told(run).train(3, resume=True)
    assert not (run / "tests.json").exists()
    assert "Test on" not in (run / "report.html").read_text()


def test_thresholds_come_back_as_they_were(run: Path) -> None:
    engine = told(run)
    engine.select(None)
    row = {"aim": "in use", "now": True, "scores": [None, 0.5], "recall": 0.5, "missed": 1, "false_alarm_rate": 0.0}
    table = [{**row, "false_alarms": 0, "precision": math.nan, "sensitivity": None}]
    report_test(engine, Metrics({"image_f1": math.nan}, tables={"thresholds": table}, count=3), {"data": "d"})
    assert kept_tests(run)[0]["values"] == {"image_f1": None}
    page = (run / "report.html").read_text()
    for text in ("Recall against false alarms", "out of 0..1", "50.0% (1 missed)", "<b>–</b>"):  # noqa: RUF001
        assert text in page


def test_what_cannot_be_written_does_not_cost_the_test(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = told(run)
    with FailingDisk(run, ERRORS["ENOSPC"], 1, lasting=True).mounted():
        assert 0 <= engine.test()["accuracy"] <= 1
    assert "The test is not in the report: " in engine.progress.notes[0]
    assert "No space left on device" in engine.progress.notes[0]
    monkeypatch.setattr("os.access", lambda *_: False)
    again = told(run)
    again.test()
    assert again.progress.notes == [f"The test is not in the report: {str(run)!r} cannot be written."]
    assert not (run / "tests.json").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"tests": [3]}', '{"tests": 3}'])
def test_a_damaged_file_of_tests_is_replaced(run: Path, content: str) -> None:
    (run / "tests.json").write_text(content)
    told(run).test()
    assert len(kept_tests(run)) == 1


def test_weights_of_no_finished_run_leave_nothing(run: Path, tmp_path: Path) -> None:
    page = (run / "report.html").read_text()
    told(run).test(checkpoint=shutil.copy(run / "checkpoints" / "best.npz", tmp_path / "elsewhere.npz"))
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "status": "interrupted"}))
    engine = told(run)
    engine.test()
    assert not (run / "tests.json").exists()
    assert (run / "report.html").read_text() == page
    said = "The run was interrupted after epoch 2 of 2; its checkpoint so far is used."
    assert engine.progress.notes[0].startswith(said)
    for use in ("predict", "explain"):
        engine = told(run)
        getattr(engine, use)()
        assert engine.progress.notes[0].startswith(said), use
