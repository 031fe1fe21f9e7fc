"""Four models from images to the artefact: a Gaussian, a memory bank, a teacher with its student, and a flow."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain import Engine, load, load_dataset
from drivetrain.errors import (
    CheckpointError,
    DataError,
    OptionError,
    UnsupportedError,
    UnsupportedOptionError,
)
from drivetrain.runs.progress import SilentProgress
from drivetrain.runtime.postprocess.sensitivity import shifted as at_another
from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")

SIZE = 64


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mvtec(tmp_path_factory.mktemp("data") / "bottle", train=20, test=6, size=72)


def make(model: Any, data: Any, work_dir: Path, **model_args: Any) -> Any:
    engine = Engine(model, data, work_dir=work_dir, model_args=model_args or None)
    engine.progress = SilentProgress()
    return engine


@pytest.fixture(scope="module")
def padim(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = make(
        "Padim", data, tmp_path_factory.mktemp("padim") / "run", pretrained=False, layers=["layer1"], n_features=30
    )
    engine.result = engine.train(max_epochs=7, image_size=SIZE)
    return engine


@pytest.fixture(scope="module")
def stfpm(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = make("anomalib:Stfpm", data, tmp_path_factory.mktemp("stfpm") / "run", pretrained=False, layers=["layer1"])
    engine.result = engine.train(max_epochs=2, image_size=SIZE, batch_size=8)
    return engine


@pytest.mark.parametrize(("kind", "known"), [("spot", True), ("good", False)])
def test_images_of_one_kind_are_measured_as_far_as_they_can_be(
    padim: Any, data: Path, tmp_path: Path, kind: str, known: bool
) -> None:
    shutil.copytree(data / "test" / kind, tmp_path / "new" / kind)
    engine = Engine(padim.work_dir)
    engine.progress = SilentProgress()
    with pytest.warns(UserWarning, match="Some metrics are undefined"):
        metrics = engine.test(tmp_path / "new")
    assert metrics.count == 6
    assert math.isnan(metrics["image_auroc"])
    assert math.isnan(metrics["image_recall"]) is not known


def test_a_run_knows_which_labels_were_normal(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "bottle")
    for subset in ("train", "test"):
        (tmp_path / "bottle" / subset / "good").rename(tmp_path / "bottle" / subset / "fine")
    source = load_dataset(tmp_path / "bottle", normal="fine")
    make("Padim", source, tmp_path / "run", pretrained=False, layers=["layer1"], n_features=30).train(image_size=SIZE)
    shutil.copytree(tmp_path / "bottle" / "test", tmp_path / "new")
    engine = Engine(tmp_path / "run")
    engine.progress = SilentProgress()
    assert engine.test(tmp_path / "new")["image_auroc"] > 0.9
    assert Engine(tmp_path / "run", tmp_path / "new").test()["image_auroc"] > 0.9


def test_engine_is_anomalibs(padim: Any) -> None:
    from drivetrain import AnomalibEngine

    assert isinstance(padim, AnomalibEngine)
    assert type(padim.model).__name__ == "Padim"
    assert padim.model.input_size == (SIZE, SIZE)


def test_forced_epochs_are_reported_and_not_hidden(padim: Any) -> None:
    assert padim.result.overrides == {"max_epochs": (7, 1)}
    assert [record.epoch for record in padim.result.history] == [0]
    assert padim.result.best_checkpoint is None  # one pass: there is nothing to choose by
    assert padim.result.last_checkpoint == padim.work_dir / "checkpoints" / "last.ckpt"


def test_defects_are_found_and_both_metrics_agree(padim: Any) -> None:
    metrics = padim.test()
    assert metrics["image_auroc"] >= 0.9
    assert metrics["pixel_auroc"] >= 0.8
    assert metrics["image_auroc"] == pytest.approx(metrics["upstream/image_AUROC"], abs=0.03)
    assert metrics["pixel_auroc"] == pytest.approx(metrics["upstream/pixel_AUROC"], abs=0.05)
    assert set(metrics.per_class) >= {"image_auroc", "image_recall", "pixel_auroc", "pro"}
    assert set(metrics.per_class["image_auroc"]) == {"spot"}  # the one type of defect


def test_predictions_are_in_pixels_of_the_original(padim: Any, data: Path) -> None:
    predictions = padim.predict()
    assert len(predictions) == len(padim.dataset.subset("test"))
    for prediction in predictions:
        assert prediction.anomaly_map.shape == prediction.size == prediction.anomaly_mask.shape
        assert prediction.anomaly_map.dtype == np.float32
        assert 0.0 <= prediction.anomaly_map.min() <= prediction.anomaly_map.max() <= 1.0
        assert 0.0 <= prediction.anomaly_score <= 1.0
        assert np.array_equal(prediction.anomaly_mask, prediction.anomaly_map >= 0.5)


def test_batch_size_does_not_change_answers(padim: Any) -> None:
    one = [prediction.anomaly_score for prediction in padim.predict(batch_size=1)]
    many = [prediction.anomaly_score for prediction in padim.predict(batch_size=5)]
    assert one == pytest.approx(many, abs=1e-5)


def test_array_of_odd_size_is_answered_in_its_size(padim: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 91, 3), np.uint8)
    answer = padim.predict(image)[0]
    assert answer.size == (37, 91)
    assert answer.anomaly_map.shape == (37, 91)


def test_artefact_answers_as_the_model(padim: Any) -> None:
    artifact = padim.export()
    assert artifact.dynamic_batch
    assert artifact.output_names == ("pred_score", "pred_label", "anomaly_map", "pred_mask")
    predictor = load(artifact.path, precision="f32")
    ours, theirs = padim.predict(), predictor.predict(padim.dataset.subset("test").paths)
    for a, b in zip(ours, theirs, strict=True):
        assert a.anomaly_score == pytest.approx(b.anomaly_score, abs=1e-3)
        assert np.abs(a.anomaly_map - b.anomaly_map).max() < 2e-2


def test_export_does_not_change_the_model(padim: Any) -> None:
    before = {name: value.clone() for name, value in padim.model.state_dict().items()}
    padim.export(name="again")
    after = padim.model.state_dict()
    assert set(before) == set(after)
    assert all(bool((before[name] == after[name]).all()) for name in before if before[name].numel())


def test_work_dir_opens_as_a_model_with_the_same_answers(padim: Any) -> None:
    again = Engine(padim.work_dir)
    again.progress = SilentProgress()
    assert type(again.model).__name__ == "Padim"
    scores = [prediction.anomaly_score for prediction in padim.predict()]
    assert [prediction.anomaly_score for prediction in again.predict()] == pytest.approx(scores, abs=1e-6)


def test_checkpoint_alone_opens_as_a_model(padim: Any, data: Path) -> None:
    again = make(padim.result.last_checkpoint, data, padim.work_dir.parent / "from-checkpoint")
    scores = [prediction.anomaly_score for prediction in padim.predict()]
    assert [prediction.anomaly_score for prediction in again.predict()] == pytest.approx(scores, abs=1e-6)


def test_run_leaves_nothing_outside_its_places(padim: Any) -> None:
    names = {path.name for path in padim.work_dir.iterdir()} - {".lock", "artifacts", "config.yaml", "tests.json"}
    assert names == {"run.json", "metrics.csv", "checkpoints", "report.html", "validation.json"}
    record = json.loads((padim.work_dir / "run.json").read_text())
    assert record["engine"] == "anomalib"
    assert record["overrides"] == {"max_epochs": [7, 1]}


def test_memory_bank_has_nothing_to_resume(padim: Any) -> None:
    with pytest.raises(UnsupportedOptionError, match="nothing to resume"):
        padim.train(resume=True)


@pytest.mark.parametrize(
    "option", [{"patience": 3}, {"learning_rate": 0.1}, {"val_check_interval": 0.5}, {"check_val_every_n_epoch": 1}]
)
def test_option_that_cannot_be_honoured_is_refused(padim: Any, option: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOptionError, match=next(iter(option))):
        padim.train(**option, overwrite=True)


def test_epochs_have_losses_and_validation_metrics(stfpm: Any) -> None:
    history = stfpm.result.history
    assert [record.epoch for record in history] == [0, 1]
    assert all({"train/loss", "val/image_auroc", "learning_rate"} <= set(record.metrics) for record in history)
    assert history[1].metrics["train/loss"] < history[0].metrics["train/loss"]
    assert stfpm.result.best_checkpoint == stfpm.work_dir / "checkpoints" / "best.ckpt"
    assert stfpm.result.best_checkpoint.is_file()


def test_resume_extends_the_training(stfpm: Any, data: Path) -> None:
    again = make("anomalib:Stfpm", data, stfpm.work_dir, pretrained=False, layers=["layer1"])
    result = again.train(max_epochs=3, image_size=SIZE, batch_size=8, resume=True)
    assert [record.epoch for record in result.history] == [0, 1, 2]


def test_warm_start_takes_the_weights(stfpm: Any, data: Path, tmp_path: Path) -> None:
    engine = make("Stfpm", data, tmp_path / "warm", pretrained=False, layers=["layer1"])
    result = engine.train(max_epochs=1, image_size=SIZE, checkpoint=stfpm.result.last_checkpoint)
    assert result.history[0].metrics["train/loss"] < stfpm.result.history[0].metrics["train/loss"]
    assert any("tensors were loaded" in note for note in result.notes)


def test_ctrl_c_keeps_the_state_and_the_signal(data: Path, tmp_path: Path) -> None:
    import signal

    from lightning.pytorch import Callback

    from drivetrain.errors import TrainingInterrupted

    class Stop(Callback):  # type: ignore[misc]  # the base is not typed
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    engine = make("Stfpm", data, tmp_path / "run", pretrained=False, layers=["layer1"])
    with pytest.raises(TrainingInterrupted, match="resume=True"):
        engine.train(max_epochs=3, image_size=SIZE, callbacks=[Stop()])
    assert signal.getsignal(signal.SIGINT) is handler
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_fastflow_whose_weights_depend_on_the_size(data: Path, tmp_path: Path) -> None:
    engine = make("Fastflow", data, tmp_path / "run", pretrained=False, flow_steps=1)
    engine.train(max_epochs=1, image_size=SIZE, batch_size=8)
    again = make(tmp_path / "run" / "checkpoints" / "last.ckpt", data, tmp_path / "again")
    assert again.model.input_size == (SIZE, SIZE)
    first = engine.predict(checkpoint="last")[0].anomaly_score
    assert again.predict()[0].anomaly_score == pytest.approx(first, abs=1e-5)


def test_patchcore_with_sensitivity(data: Path, tmp_path: Path) -> None:
    args = {"pretrained": False, "backbone": "resnet18", "layers": ["layer1"], "coreset_sampling_ratio": 0.02}
    engine = make("Patchcore", data, tmp_path / "run", **args, num_neighbors=3)
    engine.train(image_size=SIZE)
    engine.model.post_processor.image_sensitivity = 0.5
    plain = [p.anomaly_score for p in engine.predict()]
    engine.model.post_processor.image_sensitivity = 0.7
    shifted = [p.anomaly_score for p in engine.predict()]
    assert shifted == pytest.approx(list(at_another(np.array(plain), 0.5, 0.7)), abs=1e-4)
    assert engine.test()["image_auroc"] >= 0.9


def test_sensitivity_reaches_the_model_its_checkpoint_and_the_artefact(padim: Any, data: Path, tmp_path: Path) -> None:
    args = {"pretrained": False, "layers": ["layer1"], "n_features": 30}
    engine = make("Padim", data, tmp_path / "run", **args, sensitivity=0.7)
    engine.train(image_size=SIZE)
    plain = np.array([answer.anomaly_score for answer in padim.predict()])
    shifted = [answer.anomaly_score for answer in engine.predict()]
    assert shifted == pytest.approx(list(at_another(plain, 0.5, 0.7)), abs=1e-4)
    again = make(tmp_path / "run", data, tmp_path / "again")
    assert [answer.anomaly_score for answer in again.predict()] == pytest.approx(shifted, abs=1e-5)
    found = load(engine.export().path, precision="f32").predict(engine.dataset.subset("test").paths)
    assert [answer.anomaly_score for answer in found] == pytest.approx(shifted, abs=1e-3)


@pytest.mark.parametrize("form", ["openvino", "onnx"])
def test_sensitivity_is_chosen_after_training(padim: Any, form: str) -> None:
    paths = padim.dataset.subset("test").paths
    wanted = padim.predict(sensitivity=0.8)
    exported = load(padim.export(form, name=f"{form}-at-08", sensitivity=0.8).path, precision="f32")
    plain = padim.export(form, name=f"{form}-plain").path
    told = load(plain, precision="f32", sensitivity=0.8)
    asked = load(plain, precision="f32", sensitivity=0.1).predict(paths, sensitivity=0.8)
    for found in (exported.predict(paths), told.predict(paths), asked):
        assert [one.anomaly_score for one in found] == pytest.approx([one.anomaly_score for one in wanted], abs=1e-3)
        assert all((a.anomaly_mask != b.anomaly_mask).mean() < 0.01 for a, b in zip(found, wanted, strict=True))
    assert (exported.sensitivity, told.sensitivity) == (pytest.approx(0.8), 0.8)
    assert pickle.loads(pickle.dumps(told)).sensitivity == 0.8
    back = exported.predict(paths, sensitivity=0.5)
    assert [one.anomaly_score for one in back] == pytest.approx(
        [one.anomaly_score for one in padim.predict()], abs=1e-3
    )


def test_sensitivity_moves_the_threshold_and_no_ranking(padim: Any) -> None:
    before = (padim.model.post_processor.image_sensitivity, padim.model.post_processor.pixel_sensitivity)
    found = {value: padim.test(sensitivity=value) for value in (0.0, 0.3, 0.5, 0.9, 1.0)}
    for name in ("image_auroc", "image_ap", "pixel_auroc", "pro"):
        assert [one[name] for one in found.values()] == pytest.approx([found[0.5][name]] * 5, abs=1e-4), name
    recalls = [one["image_recall"] for one in found.values()]
    assert recalls == sorted(recalls)
    areas = [sum(int(one.anomaly_mask.sum()) for one in padim.predict(sensitivity=value)) for value in found]
    assert areas == sorted(areas)
    assert areas[0] < areas[2] < areas[-1]
    assert found[0.3]["image_f1"] == pytest.approx(found[0.3]["upstream/image_F1Score"], abs=0.01)
    assert padim.framework.sensitivity is None
    assert (padim.model.post_processor.image_sensitivity, padim.model.post_processor.pixel_sensitivity) == before


def test_the_sensitivity_that_test_names_does_what_it_says(padim: Any) -> None:
    metrics = padim.test()
    rows = [row for row in metrics.tables["thresholds"] if row["sensitivity"] is not None]
    assert len(rows) >= 2
    assert "for 0 missed" in metrics.tables["threshold_advice"]
    for row in rows:
        again = padim.test(sensitivity=row["sensitivity"])
        assert again["image_recall"] == pytest.approx(row["recall"]), row
        used = next(item for item in again.tables["thresholds"] if item["now"])
        assert (used["missed"], used["false_alarms"]) == (row["missed"], row["false_alarms"]), row


@pytest.mark.parametrize("sensitivity", [-0.1, 1.5])
def test_sensitivity_outside_its_range_is_refused(data: Path, tmp_path: Path, sensitivity: float) -> None:
    with pytest.raises(OptionError, match=f"sensitivity={sensitivity} must be between 0 and 1"):
        make("Padim", data, tmp_path / "run", pretrained=False, sensitivity=sensitivity).train(image_size=SIZE)


def test_metrics_of_anomalib_that_are_asked_for_stand_beside_ours(data: Path, tmp_path: Path) -> None:
    from anomalib.metrics import AUPIMO, AUROC, Evaluator

    metrics = [
        AUROC(fields=["pred_score", "gt_label"], prefix="image_"),
        AUPIMO(num_thresholds=1000, fpr_bounds=(1e-2, 1e-1), force=True),
    ]
    args = {"pretrained": False, "layers": ["layer1"], "n_features": 30, "evaluator": Evaluator(test_metrics=metrics)}
    engine = make("Padim", data, tmp_path / "run", **args)
    engine.train(image_size=SIZE)
    found = engine.test()
    assert {name for name in found if name.startswith("upstream/")} == {"upstream/image_AUROC", "upstream/AUPIMO"}
    assert 0.0 <= found["upstream/AUPIMO"] <= 1.0


def test_threshold_of_a_data_set_without_any_defect(data: Path, padim: Any, tmp_path: Path) -> None:
    from drivetrain import load_dataset

    whole = load_dataset(data, task="anomaly")
    normal = whole.select([n for n, kind in enumerate(whole.anomalous) if kind == 0]).split(
        train=0.7, val=0.3, test=0.0
    )
    args = {"pretrained": False, "layers": ["layer1"], "n_features": 30}
    engine = make("Padim", normal, tmp_path / "run", **args)
    result = engine.train(image_size=SIZE)
    assert any("synthetic defects (threshold_source='synthetic')" in note for note in result.notes)
    answers = engine.predict([sample.path for sample in padim.dataset.subset("test") if sample.anomalous])
    assert all(answer.anomaly_score >= 0.5 for answer in answers)


def test_what_a_model_cannot_take_is_said_before_training(data: Path, tmp_path: Path) -> None:
    from drivetrain.errors import ModelError

    engine = make("EfficientAd", data, tmp_path / "run")
    with pytest.raises(OptionError, match="batch_size=4: EfficientAd allows only 1"):
        engine.train(batch_size=4)
    with pytest.raises(OptionError, match="EfficientAd needs at least 256 pixels"):
        engine.train(image_size=128)
    with pytest.raises(ModelError, match=r'folder with class folders.*model_args=\{"imagenet_dir": "folder"\}'):
        engine.train()
    with pytest.raises(DataError, match="AiVad works on video"):
        make("AiVad", data, tmp_path / "run").train()
    assert not (tmp_path / "run").exists()


def test_untrained_model_says_what_to_do(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Train it first"):
        make("Padim", data, tmp_path / "run", pretrained=False).predict()


def test_weights_that_are_not_there_are_named_before_training(data: Path, tmp_path: Path) -> None:
    from drivetrain.errors import ModelError

    with pytest.raises(ModelError, match=r'mobilenetv3_small_050.*"pretrained"'):
        make("Padim", data, tmp_path / "run", backbone="mobilenetv3_small_050", layers=["blocks.0"]).train(
            image_size=64
        )
    assert not (tmp_path / "run" / "run.json").exists()


def test_unknown_argument_of_the_model_has_the_nearest(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="backbone"):
        make("Padim", data, tmp_path / "run", backbon="resnet18").train()


def test_unknown_engine_argument_is_refused(data: Path, tmp_path: Path) -> None:
    engine = make("Padim", data, tmp_path / "run", pretrained=False)
    with pytest.raises(OptionError, match="limit_train_batches"):
        engine.train(engine_args={"limit_train_batch": 1})
    with pytest.raises(OptionError, match="threshold_source"):
        engine.train(engine_args={"threshold_source": "luck"})


def test_other_task_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="anomaly"):
        Engine("Padim", data, task="detection", work_dir=tmp_path / "run").train()


def test_data_without_a_normal_image(data: Path, tmp_path: Path) -> None:
    from drivetrain import load_dataset

    anomalous = [n for n, kind in enumerate(load_dataset(data, task="anomaly").anomalous) if kind == 1]
    only = load_dataset(data, task="anomaly").select(anomalous).split(train=0.0, val=0.5, test=0.5)
    with pytest.raises(DataError, match="no training image"):
        make("Padim", only, tmp_path / "run", pretrained=False).train(image_size=SIZE)


def test_training_images_that_are_all_anomalous(data: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    import pyarrow as pa

    from drivetrain import load_dataset
    from drivetrain.data import Dataset

    whole = load_dataset(data, task="anomaly").with_splits()
    every = pa.array([True] * len(whole))
    table = whole.table.set_column(whole.table.schema.get_field_index("anomalous"), "anomalous", every)
    turned = Dataset(table, replace(whole.facts, fingerprint="turned"))
    with pytest.raises(DataError, match="no normal image to train on"):
        make("Padim", turned, tmp_path / "run", pretrained=False).train(image_size=SIZE)


def test_ready_object_is_used_as_it_is(data: Path, tmp_path: Path) -> None:
    from anomalib.models import Padim

    model = Padim(
        pre_trained=False, layers=["layer1"], n_features=30, pre_processor=Padim.configure_pre_processor((SIZE, SIZE))
    )
    engine = make(model, data, tmp_path / "run")
    assert engine.model is model
    with pytest.raises(UnsupportedOptionError, match="pre_processor"):
        engine.train(image_size=32)
    engine.train()
    assert engine.model is model
    assert engine.test()["image_auroc"] >= 0.9
    artifact = engine.export()
    assert artifact.image_spec.antialias


def test_model_that_has_no_graph_is_not_exported(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make("Padim", data, tmp_path / "run", pretrained=False)
    monkeypatch.setattr("drivetrain.engines.anomalib.framework.is_answering_by_path", lambda _: True)
    with pytest.raises(UnsupportedError, match="no graph"):
        engine.export()


def test_the_report_has_recall_against_false_alarms_where_validation_has_both(data: Path, tmp_path: Path) -> None:
    from drivetrain import load_dataset

    mixed = load_dataset(data, task="anomaly").split(train=0.4, val=0.4, test=0.2)
    assert set(mixed.subset("val").anomalous.tolist()) == {0, 1}
    args = {"pretrained": False, "layers": ["layer1"], "n_features": 30}
    engine = make("Padim", mixed, tmp_path / "run", **args)
    engine.train(image_size=SIZE)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Recall against false alarms" in page
    assert "for 0 missed with" in page
