"""Making an artefact lighter: what is measured, what is refused, and that nothing stands where it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivetrain import Engine, load, verify
from drivetrain.engine import evidence
from drivetrain.errors import (
    AccuracyDropError,
    ArtifactExistsError,
    DataError,
    DrivetrainError,
    OptionError,
    UnsupportedError,
)
from drivetrain.export import optimization
from drivetrain.runtime.artifact import Artifact
from drivetrain.testing import data, toy
from drivetrain.types import Metrics


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "classes", subsets={"train": 12, "val": 6, "test": 3})


@pytest.fixture(scope="module")
def trained(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = Engine(toy.ToyModel(), classes, work_dir=tmp_path_factory.mktemp("run") / "work")
    engine.train(max_epochs=3)
    return engine


@pytest.fixture(scope="module")
def int8(trained: Engine) -> Artifact:
    return trained.optimize()


def below(artifact: Artifact) -> list[str]:
    return sorted(path.name for path in artifact.path.parent.iterdir())


def test_the_artefact_is_complete_and_says_what_was_measured(trained: Engine, int8: Artifact, classes: Path) -> None:
    assert int8.path == trained.work_dir / "artifacts" / "openvino-int8"
    assert below(int8)[:2] == ["openvino-fp32", "openvino-int8"], "the export that it began with stays"
    report = int8.optimization
    assert (report["precision"], report["method"], report["metrics"]) == ("int8", "ptq", ["accuracy"])
    assert report["images"] == 18
    assert report["calibration"] == {"images": 36, "subsets": "train"}
    assert report["drop"] == pytest.approx(report["before"]["accuracy"] - report["after"]["accuracy"])
    assert report["layers"] == {"with_weights": 1, "light": 1}
    assert report["bytes"]["before"] > 2 * report["bytes"]["after"]
    assert set(report["latency_ms"]) == {"before", "after"}
    assert Artifact.open(int8.path).optimization == report, "the manifest has it"
    int8.verify_files()
    assert Engine(int8.path, classes).test(subset="val")["accuracy"] == pytest.approx(report["after"]["accuracy"])


def test_it_answers_about_raw_images_as_it_does_about_resized_ones(int8: Artifact) -> None:
    report = verify(int8)
    assert report.max_difference["probabilities"] == 0.0, "its reference holds its own answers"
    assert report.details["raw_images"]["max_difference"]["probabilities"] < 0.02


def test_a_changed_weight_is_found_by_verify(int8: Artifact, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(int8.path, tmp_path / "copy")
    weights = bytearray((copy / "model.bin").read_bytes())
    weights[0] ^= 0xFF
    (copy / "model.bin").write_bytes(weights)
    with pytest.raises(DrivetrainError, match=r"'model\.bin' .* was changed since the export"):
        verify(copy)


def test_the_export_of_the_same_weights_is_used_again(trained: Engine, int8: Artifact) -> None:
    before = (int8.path.parent / "openvino-fp32" / "manifest.json").stat().st_mtime_ns
    trained.optimize(precision="fp16")
    assert (int8.path.parent / "openvino-fp32" / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("precision", ["fp16", "int8_weights"])
def test_the_stored_weights_alone(trained: Engine, precision: str, int8: Artifact) -> None:
    artifact = trained.optimize(precision=precision, name=f"only-{precision}", overwrite=True)
    assert artifact.precision == precision
    assert artifact.optimization["calibration"]["images"] == 0
    assert artifact.optimization["bytes"]["after"] < artifact.optimization["bytes"]["before"]
    verify(artifact)


def test_an_artefact_is_made_lighter_without_its_engine(int8: Artifact, classes: Path, tmp_path: Path) -> None:
    engine = Engine(int8.path.parent / "openvino-fp32", classes, work_dir=tmp_path / "work")
    again = engine.optimize()
    assert again.path == tmp_path / "work" / "artifacts" / "openvino-int8"
    images = [str(path) for path in sorted(classes.rglob("val/*/*.png"))[:3]]
    for one, other in zip(load(again.path).predict(images), load(int8.path).predict(images), strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
    with pytest.raises(UnsupportedError, match="is int8 already"):
        Engine(again.path, classes, work_dir=tmp_path / "other").optimize()
    assert not (tmp_path / "other" / "artifacts").exists() or not list((tmp_path / "other" / "artifacts").iterdir())


def test_of_an_artefact_of_a_run_the_lighter_one_is_beside_it(int8: Artifact, classes: Path) -> None:
    engine = Engine(int8.path.parent / "openvino-fp32", classes)
    artifact = engine.optimize(precision="fp16", name="beside")
    assert artifact.path == int8.path.parent / "beside"


def test_a_name_that_is_taken_is_kept(trained: Engine, int8: Artifact) -> None:
    with pytest.raises(ArtifactExistsError, match="overwrite=True"):
        trained.optimize()
    int8.verify_files()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"metric": "acuracy"}, OptionError, "Did you mean 'accuracy'"),
        ({"subset": "valid"}, DataError, "Did you mean 'val'"),
        ({"max_drop": -0.1}, OptionError, "max_drop=-0.1"),
        ({"max_drop": float("nan")}, OptionError, "max_drop=nan"),
        ({"samples": 3}, OptionError, "samples=3 must be at least 8"),
        ({"method": "qat"}, OptionError, "method='qat'"),
        ({"precision": "int4"}, OptionError, "precision='int4'"),
        ({"precision": "fp16", "method": "ptq"}, OptionError, "method='ptq' cannot be honoured"),
        ({"name": "a/b"}, OptionError, "without slashes"),
    ],
)
def test_slips_are_refused_before_work_begins(
    trained: Engine, options: dict[str, object], error: type[Exception], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "building", None)  # nothing may be written
    with pytest.raises(error, match=match):
        trained.optimize(**{"name": "never", **options})
    assert not (trained.work_dir / "artifacts" / "never").exists()


def test_too_few_images_to_calibrate_with(tmp_path: Path) -> None:
    few = data.class_folders(tmp_path / "few", classes=("blue", "red"), subsets={"train": 3, "val": 3, "test": 1})
    engine = Engine(toy.ToyModel(), few, work_dir=tmp_path / "work")
    engine.train(max_epochs=1)
    with pytest.raises(DataError, match=r"There are 6 images to calibrate with \(train\), and at least 8 are needed"):
        engine.optimize()
    assert not (tmp_path / "work" / "artifacts" / "openvino-int8").exists()


def test_no_data(trained: Engine, int8: Artifact, tmp_path: Path) -> None:
    engine = Engine(int8.path.parent / "openvino-fp32", work_dir=tmp_path / "work")
    with pytest.raises(DataError, match="There are no data to measure on"):
        engine.optimize()


def test_a_drop_that_cannot_be_kept_leaves_nothing(trained: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measured metric falls whatever is done, so accuracy control is tried and then nothing delivered."""
    real = optimization.measured
    calls: list[int] = []

    def falling(*args: object) -> Metrics:
        calls.append(1)
        return Metrics({**real(*args), "accuracy": 1.0 if len(calls) == 1 else 0.5}, count=18)

    notes: list[str] = []
    monkeypatch.setattr(optimization, "measured", falling)
    monkeypatch.setattr(trained.progress, "note", notes.append)
    with pytest.raises(AccuracyDropError, match=r"accuracy 1\.0000 -> 0\.5000, more than max_drop=0\.01") as raised:
        trained.optimize(name="worse")
    assert set(raised.value.report["tried"]) == {"ptq", "accuracy_control"}
    assert any("continuing with accuracy control" in note for note in notes)
    assert not [path for path in (trained.work_dir / "artifacts").iterdir() if "worse" in path.name]
    calls.clear()
    with pytest.raises(AccuracyDropError) as raised:
        trained.optimize(name="worse", method="ptq")
    assert set(raised.value.report["tried"]) == {"ptq"}


def test_of_a_metric_that_is_better_when_lower_a_rise_is_a_drop() -> None:
    from drivetrain.export.measuring import largest_drop

    assert largest_drop(["abs_rel"], Metrics({"abs_rel": 0.1}), Metrics({"abs_rel": 0.3})) == pytest.approx(0.2)
    assert largest_drop(["a", "b"], Metrics({"a": 1, "b": 1}), Metrics({"a": 2, "b": 0.9})) == pytest.approx(0.1)
    assert largest_drop(["a"], Metrics({"a": 1}), Metrics({"a": float("nan")})) == float("inf")


def test_images_to_calibrate_with_are_spread_over_the_data(trained: Engine) -> None:
    found = evidence.find_evidence(trained, "val", 12, None)
    assert len(found.calibration) == 12
    assert {Path(path).parent.name for path in found.calibration} == {"blue", "green", "red"}
    assert not set(found.calibration) & set(found.paths)
