"""Comparing models: with the toy engine, whose trainings take no time, and processes of their own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import drivetrain.testing.toy
from drivetrain import Comparison, Engine, compare
from drivetrain.engine.compare_models import parse_budget
from drivetrain.errors import DrivetrainError, ModelError, OptionError, WorkDirError
from drivetrain.testing import data
from drivetrain.types import Task
from drivetrain.types.comparison import ComparedModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("compare") / "toys")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """A run that was trained before."""
    work_dir = tmp_path_factory.mktemp("before") / "run"
    Engine("toy:linear", folder, work_dir=work_dir).train(max_epochs=1)
    return work_dir


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, folder: Path, run: Path) -> Comparison:
    work_dir = tmp_path_factory.mktemp("compared") / "all"
    return compare(["toy:linear", run], folder, max_epochs=2, work_dir=work_dir, seed=0, timing_seconds=0.1)


def test_each_model_is_measured_on_the_same_images(comparison: Comparison, folder: Path, run: Path) -> None:
    trained, taken = comparison.models
    assert comparison.task is Task.CLASSIFICATION
    assert comparison.metric == "accuracy"
    assert (trained.state, trained.trained, trained.epochs) == ("finished", True, 2)
    assert (taken.state, taken.trained, taken.work_dir) == ("finished", False, str(run))
    for row in comparison.models:
        again = Engine(row.artifact, folder).test()
        assert row.metrics["accuracy"] == again["accuracy"]
        assert row.model_metrics["accuracy"] == pytest.approx(row.metrics["accuracy"])
        assert row.latency_ms is not None
        assert row.latency_ms > 0
        assert row.model_bytes > 0


def test_the_run_that_was_given_stays_as_it_was(comparison: Comparison, run: Path) -> None:
    assert comparison.models[1].artifact.startswith(str(comparison.work_dir))
    assert not (run / "artifacts").exists()


def test_the_page_has_the_table_the_front_and_pictures(comparison: Comparison) -> None:
    page = comparison.report.read_text()
    for row in comparison.models:
        assert row.name in page
    assert page.count("data:image/jpeg;base64,") >= 3
    assert "<polyline" in page or len(comparison.front) == 1
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_finished_comparison_goes_on_without_training_again(comparison: Comparison, folder: Path, run: Path) -> None:
    models = comparison.work_dir / "models"
    before = {path: path.stat().st_mtime_ns for path in models.rglob("run.json")}
    again = compare(["toy:linear", run], folder, max_epochs=2, work_dir=comparison.work_dir, seed=0, resume=True)
    assert again.models == comparison.models
    assert {path: path.stat().st_mtime_ns for path in models.rglob("run.json")} == before


def test_another_comparison_is_not_mixed_in(comparison: Comparison, folder: Path, run: Path) -> None:
    with pytest.raises(WorkDirError, match=r"holds a comparison\. Go on with it by resume=True"):
        compare(["toy:linear", run], folder, max_epochs=2, work_dir=comparison.work_dir)
    with pytest.raises(WorkDirError, match=r"with another budget \(None, now 60\.0\)"):
        compare(["toy:linear", run], folder, budget="1m", work_dir=comparison.work_dir, resume=True)


def test_one_that_fails_does_not_end_the_others(tmp_path: Path, folder: Path, run: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no weights")
    found = compare([broken, run], folder, work_dir=tmp_path / "all", timing_seconds=0.1)
    failed, fine = found.models
    assert failed.state == "failed"
    assert "broken.npz" in failed.error
    assert fine.state == "finished"
    assert failed.error.split("'")[0][:20] in found.report.read_text()
    assert [row.name for row in found.ranked] == [fine.name]


def test_when_all_fail_the_reasons_are_given(tmp_path: Path, folder: Path) -> None:
    broken = [tmp_path / f"{name}.npz" for name in ("one", "two")]
    for path in broken:
        path.write_bytes(b"no weights")
    with pytest.raises(DrivetrainError, match=r"(?s)None of the models could be measured:.*one.*two"):
        compare(broken, folder, work_dir=tmp_path / "all", timing_seconds=0.1)


def test_a_budget_is_shared_and_decides_the_epochs(tmp_path: Path, folder: Path, run: Path) -> None:
    found = compare(["toy:linear", run], folder, budget=20, max_epochs=3, work_dir=tmp_path / "all", timing_seconds=0.1)
    row = found.models[0]
    assert row.epochs == 3
    record = json.loads((Path(row.work_dir) / "run.json").read_text())
    assert record["options"]["max_epochs"] == 3
    assert not (Path(row.work_dir).parent / "probe").exists()


@pytest.mark.parametrize(
    ("budget", "seconds"), [("30m", 1800), ("1.5h", 5400), ("90s", 90), ("45", 45), (12.5, 12.5), (None, None)]
)
def test_budgets(budget: str | float | None, seconds: float | None) -> None:
    assert parse_budget(budget) == seconds


@pytest.mark.parametrize("budget", ["soon", "-3m", "0", "3d", True, -1])
def test_wrong_budgets_are_refused(budget: str) -> None:
    with pytest.raises(OptionError, match=r"^budget=.* must be a time above 0, such as '30m'"):
        parse_budget(budget)


def test_wrong_models_are_refused_at_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"give at least two"):
        compare("toy:linear", folder)
    with pytest.raises(OptionError, match=r"models has a ToyModel"):
        compare([drivetrain.testing.toy.ToyModel(), "toy:linear"], folder)  # type: ignore[list-item]
    with pytest.raises(ModelError, match=r"(?s)toy:lineer.*nonsense"):
        compare("toy:lineer, nonsense:thing", folder, work_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def _row(name: str, accuracy: float, latency: float) -> ComparedModel:
    return ComparedModel(name, state="finished", metrics={"accuracy": accuracy}, latency_ms=latency)


def test_the_front_leaves_out_what_another_beats(tmp_path: Path) -> None:
    rows = (
        _row("slow", 0.9, 20.0),
        _row("beaten", 0.8, 15.0),
        _row("middle", 0.85, 10.0),
        _row("equal but slower", 0.85, 11.0),
        _row("fast", 0.5, 1.0),
        _row("undefined", math.nan, 0.1),
    )
    comparison = Comparison(rows, Task.CLASSIFICATION, "accuracy", "data", 10, tmp_path)
    assert [row.name for row in comparison.front] == ["slow", "middle", "fast"]
    assert next(row.name for row in comparison.ranked) == "slow"
