"""The factory and the common steps of the verbs, with the toy engine and variants of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from drivetrain.engine import Engine, FitResult, Framework
from drivetrain.errors import (
    CheckpointNotFoundError,
    DataError,
    DataNotFoundError,
    ModelError,
    OptionError,
    UnsupportedError,
    UnsupportedOptionError,
    WorkDirError,
)
from drivetrain.models.catalog import ModelEntry
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.runs.run import Run
from drivetrain.runtime import load
from drivetrain.testing import data, toy
from drivetrain.types.options import TrainOptions
from drivetrain.types.task import Task

LABELS = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def _toy_only(only_engines: Any, own_cache: Path) -> None:
    from drivetrain.engines.openvino import SPEC

    only_engines(toy.SPEC, SPEC)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "toys", subsets={"train": 5, "val": 3, "test": 3})


def toy_engine(dataset: Path | None, work_dir: Path, model: Any = None, **values: Any) -> Engine:
    engine = Engine(toy.ToyModel() if model is None else model, dataset, work_dir=work_dir, **values)
    engine.progress = SilentProgress()
    return engine


def entry() -> ModelEntry:
    return ModelEntry("linear", "toy", ("classification",), "drivetrain.testing.toy:ToyModel")


# --- the factory


def test_the_factory_returns_the_engine_of_the_model(dataset: Path, tmp_path: Path) -> None:
    model = toy.ToyModel()
    engine = Engine(model, dataset, work_dir=tmp_path)
    assert type(engine) is toy.ToyEngine
    assert engine.model is model
    assert engine.resolution.reason == "ToyModel is a drivetrain.ToyModel"


def test_an_engine_can_be_named_by_its_class_and_not_against_it(dataset: Path) -> None:
    engine = toy.ToyEngine(toy.ToyModel(), dataset)
    assert type(engine) is toy.ToyEngine
    assert type(toy.ToyEngine(toy.ToyModel(), dataset, engine="toy")) is toy.ToyEngine
    with pytest.raises(OptionError, match=r"engine='openvino' contradicts ToyEngine"):
        toy.ToyEngine(toy.ToyModel(), dataset, engine="openvino")


def test_nothing_is_made_before_a_verb(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    assert engine.task is Task.CLASSIFICATION
    assert engine.label_names == LABELS
    assert not (tmp_path / "work").exists()


def test_an_engine_without_its_hooks_is_refused_when_its_class_is_made() -> None:
    with pytest.raises(TypeError, match="The engine Half must define model, _infer"):

        class Half(Engine):
            spec = toy.SPEC

            def _build(self, options: TrainOptions | None = None) -> None:
                """Nothing."""

    class Quarter(Framework):
        def build(self, options: TrainOptions | None = None) -> None:
            """Nothing."""

    with pytest.raises(TypeError, match="Quarter, the framework of Whole, must define model, infer"):

        class Whole(Engine):
            spec = toy.SPEC
            framework_class = Quarter

    with pytest.raises(TypeError, match="the framework of Empty, must define model, build, infer"):

        class Empty(Engine):
            spec = toy.SPEC


def test_what_cannot_be_is_refused_at_once(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"data='no_such_folder' does not exist"):
        Engine(toy.ToyModel(), "no_such_folder")
    with pytest.raises(OptionError, match=r"task='classify' is not a task\. Did you mean 'classification'"):
        Engine(toy.ToyModel(), dataset, task="classify")
    with pytest.raises(OptionError, match=r"model_args=\['momentum'\] cannot be given together with a ready model"):
        Engine(toy.ToyModel(), dataset, model_args={"momentum": 0.1})
    with pytest.raises(ModelError, match="model is None"):
        Engine(None)


def test_the_default_work_dir_is_new_and_below_runs(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = Engine(toy.ToyModel(), dataset)
    assert engine.work_dir == engine.work_dir
    assert engine.work_dir.parent == tmp_path / "runs"
    assert engine.work_dir.name.startswith("drivetrain.testing.toy.ToyModel-toys-")


# --- data


def test_verbs_without_data_say_what_is_missing(tmp_path: Path) -> None:
    engine = toy_engine(None, tmp_path / "work")
    with pytest.raises(DataError, match=r"no data to train on.*Engine\(model, data\)"):
        engine.train()
    with pytest.raises(OptionError, match=r"The task is unknown\. Give task="):
        _ = engine.task
    with pytest.raises(DataError, match="There are no data"):
        _ = engine.dataset
    with pytest.raises(DataError, match=r"images=\[\.\.\.\] to export"):
        engine.export()
    assert not (tmp_path / "work").exists()


def test_test_takes_all_of_other_data_that_are_not_divided(dataset: Path, tmp_path: Path) -> None:
    whole = data.class_folders(tmp_path / "whole", subsets={"": 4})
    engine = toy_engine(dataset, tmp_path / "run")
    engine.train(max_epochs=3)
    assert engine.test(whole).count == 4 * len(LABELS)


def test_test_takes_all_of_the_engines_data_that_are_not_divided(dataset: Path, tmp_path: Path) -> None:
    toy_engine(dataset, tmp_path / "run").train(1)
    other = data.class_folders(tmp_path / "new", subsets={"": 7})
    engine = Engine(tmp_path / "run", other)
    engine.progress = SilentProgress()
    assert engine.test().count == 21


def test_test_leaves_out_what_the_model_was_trained_on(tmp_path: Path) -> None:
    whole = data.class_folders(tmp_path / "whole", subsets={"": 10})
    engine = toy_engine(whole, tmp_path / "run")
    engine.train(1)
    assert engine.test().count == engine.test(whole).count == 3
    assert Engine(tmp_path / "run", whole).test().count == Engine(tmp_path / "run").test(whole).count == 3


def test_pictures_alone_are_predicted_on_and_neither_learned_nor_measured(dataset: Path, tmp_path: Path) -> None:
    toy_engine(dataset, tmp_path / "run").train(1)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in (dataset / "test" / "red").iterdir():
        shutil.copy(path, pictures)
    engine = Engine(tmp_path / "run", pictures, work_dir=tmp_path / "other")
    engine.progress = SilentProgress()
    assert len(engine.predict(pictures)) == 3
    with pytest.raises(DataError, match=r"no classes (and no|or) annotations"):
        engine.test()
    with pytest.raises(DataError, match=r"no classes (and no|or) annotations"):
        engine.train(1)
    assert not (tmp_path / "other").exists()


def test_a_test_set_may_have_one_class(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "run")
    engine.train(1)
    one = data.class_folders(tmp_path / "one", subsets={"": 4})
    for name in ("blue", "green"):
        shutil.rmtree(one / name)
    answers = engine.predict(one / "red")
    right = sum(engine.label_names[answer.labels[0]] == "red" for answer in answers) / 4
    assert engine.test(one)["accuracy"] == pytest.approx(right)


def test_training_tells_of_a_class_that_it_never_sees(tmp_path: Path) -> None:
    source = data.class_folders(tmp_path / "toys", subsets={"train": 5, "val": 3})
    (source / "val" / "red").rename(source / "val" / "Red")
    result = toy_engine(source, tmp_path / "run").train(1)
    assert any("'Red' occurs in val but never in train" in note and "'red'" in note for note in result.notes)


def test_test_takes_other_data_and_brings_the_labels_into_the_order_of_the_model(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=6)
    assert engine.test()["accuracy"] == 1.0
    other = data.class_folders(tmp_path / "other", classes=("red", "blue"), subsets={"train": 1, "val": 4}, seed=9)
    metrics = engine.test(other, subset="val")
    assert metrics["accuracy"] == 1.0
    assert metrics.count == 8
    strange = data.class_folders(tmp_path / "strange", classes=("red", "violet"), subsets={"train": 1, "test": 2})
    with pytest.raises(DataError, match="violet"):
        engine.test(strange)
    with pytest.raises(DataError, match=r"subset='test' is not in this data set\. It has: train, val"):
        engine.test(other)


class OwnData:
    """Data of the toy framework."""


def test_native_data_pass_through_and_cannot_be_read(tmp_path: Path, only_engines: Any) -> None:
    from dataclasses import replace

    class NativeEngine(toy.ToyEngine):
        spec = replace(toy.SPEC, name="native", data_claims=(f"{OwnData.__module__.partition('.')[0]}:OwnData",))

    only_engines(NativeEngine.spec)
    own = OwnData()
    engine = NativeEngine(toy.ToyModel(), own, work_dir=tmp_path, task="classification")
    assert engine.has_native_data
    with pytest.raises(DataError, match="OwnData; this needs a data set that can be read"):
        _ = engine.dataset
    with pytest.raises(UnsupportedError, match="cannot test on a OwnData"):
        engine.test()


# --- options


def test_what_this_version_cannot_do_is_refused_by_name(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    for values in ({"precision": "bf16"}, {"devices": 2}, {"logger": object()}):
        (name,) = values
        with pytest.raises(UnsupportedOptionError, match=rf"^{name}=.* cannot be honoured: "):
            engine.train(**values)
    with pytest.raises(
        OptionError, match=r"engine_args of ToyEngine has no option 'momentun'\. Did you mean 'momentum'"
    ):
        engine.train(engine_args={"momentun": 0.5})
    with pytest.raises(
        UnsupportedOptionError, match=r"confidence=0\.5 cannot be honoured: classification has no objects"
    ):
        engine.predict(confidence=0.5)
    with pytest.raises(OptionError, match=r"confidence=1\.5 must be between 0 and 1"):
        engine.predict(confidence=1.5)
    for verb in (engine.predict, engine.test):
        with pytest.raises(OptionError, match="batch_size=0 must be at least 1"):
            verb(batch_size=0)
    with pytest.raises(OptionError, match=r"name='a/b' must be the name of a folder"):
        engine.export(name="a/b")
    assert not (tmp_path / "work" / "run.json").exists()


def test_a_verb_that_the_engine_lacks_is_refused_by_what_it_says_of_itself(dataset: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    class Mute(toy.ToyEngine):
        spec = replace(toy.SPEC, verbs=("train",))

    engine = Mute(toy.ToyModel(), dataset, work_dir=tmp_path)
    for verb in ("test", "predict", "export"):
        with pytest.raises(UnsupportedError, match=f"Mute cannot {verb}; it can train"):
            getattr(engine, verb)()


# --- a run


class ScriptedFramework(toy.ToyFramework):
    """Its training does what the test needs."""

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        fit: FitResult = Scripted.script(super().fit, options, run, resume)
        return fit


class Scripted(toy.ToyEngine):
    script: ClassVar[Any] = None
    framework_class = ScriptedFramework


def test_a_training_that_fails_says_so_in_its_record(dataset: Path, tmp_path: Path) -> None:
    def fail(*_: Any) -> FitResult:
        raise RuntimeError("the upstream broke")

    Scripted.script = fail
    engine = Scripted(toy.ToyModel(), dataset, work_dir=tmp_path / "work")
    with pytest.raises(RuntimeError, match="the upstream broke"):
        engine.train()
    record = read_record(tmp_path / "work")
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: the upstream broke")
    with pytest.raises(WorkDirError, match="status: failed"):
        engine.train()


def test_what_the_upstream_replaced_is_told(dataset: Path, tmp_path: Path) -> None:
    def one_epoch(fit: Any, options: TrainOptions, run: Run, resume: bool) -> FitResult:
        from dataclasses import replace

        done = fit(replace(options, max_epochs=1), run, resume=resume)
        return replace(done, overrides={"max_epochs": (options.max_epochs, 1)}, notes=("A note.",))

    Scripted.script = one_epoch
    engine = Scripted(toy.ToyModel(), dataset, work_dir=tmp_path / "work")
    result = engine.train(max_epochs=9)
    assert result.overrides == {"max_epochs": (9, 1)}
    assert result.notes[-2:] == ("A note.", "max_epochs=9 was replaced by 1 by toy.")
    record = read_record(tmp_path / "work")
    assert record["overrides"] == {"max_epochs": [9, 1]}
    assert record["notes"][-1] == "max_epochs=9 was replaced by 1 by toy."


def test_the_best_state_is_used_after_training_and_the_last_on_request(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    result = engine.train(max_epochs=4)
    assert result.best_checkpoint != result.last_checkpoint
    assert result.metrics["val/accuracy"] == max(row.metrics["val/accuracy"] for row in result.history)
    best, last = engine.predict(checkpoint="best"), engine.predict(checkpoint="last")
    assert not np.array_equal(best[0].probabilities, last[0].probabilities)
    np.testing.assert_array_equal(engine.predict()[0].probabilities, best[0].probabilities)


def test_without_a_run_best_and_last_are_not_there(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    for which in ("best", "last"):
        with pytest.raises(CheckpointNotFoundError, match=f"checkpoint='{which}': the run in .* has none"):
            engine.predict(checkpoint=which)
    with pytest.raises(CheckpointNotFoundError, match=r"none\.npz' does not exist"):
        engine.train(checkpoint=tmp_path / "none.npz")


def test_a_run_may_start_from_its_own_best_state_while_it_is_replaced(dataset: Path, tmp_path: Path) -> None:
    first = toy_engine(dataset, tmp_path / "work").train(max_epochs=4)
    engine = toy_engine(dataset, tmp_path / "work")
    second = engine.train(max_epochs=1, checkpoint="last", overwrite=True)
    assert second.history[0].metrics["train/loss"] < first.history[0].metrics["train/loss"] * 0.9


def test_a_failed_replacement_leaves_the_old_run(dataset: Path, tmp_path: Path) -> None:
    toy_engine(dataset, tmp_path / "work").train(max_epochs=1)
    with pytest.raises(CheckpointNotFoundError):
        toy_engine(dataset, tmp_path / "work").train(overwrite=True, checkpoint=tmp_path / "none.npz")
    assert read_record(tmp_path / "work")["status"] == "finished"
    assert (tmp_path / "work" / "checkpoints" / "best.npz").exists()


# --- the work dir as a model


def test_a_work_dir_keeps_the_name_of_its_model_when_it_is_resumed_as_a_folder(dataset: Path, tmp_path: Path) -> None:
    toy_engine(dataset, tmp_path / "work").train(max_epochs=1)
    name = read_record(tmp_path / "work")["model"]["name"]
    again = Engine(tmp_path / "work")
    again.progress = SilentProgress()
    assert again.work_dir == tmp_path / "work"
    assert len(again.train(max_epochs=2, resume=True).history) == 2
    assert read_record(tmp_path / "work")["model"]["name"] == name
    assert len(toy_engine(dataset, tmp_path / "work").train(max_epochs=3, resume=True).history) == 3


def test_a_work_dir_trained_on_into_another_uses_the_new_checkpoints(dataset: Path, tmp_path: Path) -> None:
    toy_engine(dataset, tmp_path / "old").train(max_epochs=1)
    engine = Engine(tmp_path / "old", dataset, work_dir=tmp_path / "new")
    engine.progress = SilentProgress()
    result = engine.train(max_epochs=2)
    assert result.work_dir == tmp_path / "new"
    np.testing.assert_array_equal(
        engine.predict(checkpoint="last")[0].probabilities,
        Engine(tmp_path / "new" / "checkpoints" / "last.npz", dataset).predict()[0].probabilities,
    )


def test_a_work_dir_without_its_data_still_predicts(dataset: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(dataset, tmp_path / "copy")
    toy_engine(copy, tmp_path / "work").train(max_epochs=2)
    picture = next(dataset.rglob("*.png"))
    shutil.rmtree(copy)
    shutil.move(tmp_path / "work", tmp_path / "moved")
    engine = Engine(tmp_path / "moved")
    assert engine.label_names == LABELS
    assert len(engine.predict(picture)) == 1
    with pytest.raises(DataError, match="There are no data"):
        engine.test()


# --- artefacts


def test_an_artefact_opens_as_an_engine_that_tests_and_predicts(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=3)
    artifact = engine.export()
    for path in (artifact.path, artifact.model_path):
        opened = Engine(path, dataset)
        assert opened.spec.name == "openvino"
        assert opened.label_names == LABELS
        assert opened.task is Task.CLASSIFICATION
        ours, theirs = opened.predict(), engine.predict()
        assert [item.path for item in ours] == [item.path for item in theirs]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)
        assert dict(opened.test()) == dict(engine.test())
    for verb in ("train", "export"):
        with pytest.raises(UnsupportedError, match=f"OpenVINOEngine cannot {verb}; it can test, predict"):
            getattr(opened, verb)()
    with pytest.raises(UnsupportedOptionError, match="batch_size=4 cannot be honoured"):
        opened.predict(batch_size=4)
    with pytest.raises(OptionError, match="device='cuda' is not an OpenVINO device"):
        Engine(artifact.path, dataset, device="cuda").predict()
    with pytest.raises(ModelError, match=r"takes drivetrain\.Predictor or a file ending in \.xml, \.onnx, not a"):
        Engine(toy.ToyModel(), dataset, engine="openvino").predict()


def test_a_loaded_artefact_is_a_model_too(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=1)
    path = engine.export().path
    opened = Engine(load(path, precision="f32"), dataset)
    assert opened.spec.name == "openvino"
    assert opened.setup.model_name == str(path)
    assert dict(opened.test()) == dict(engine.test())
    with pytest.raises(OptionError, match="device='cpu' cannot be given together with a loaded artefact"):
        Engine(load(path), dataset, device="cpu").predict()


def test_drawings_go_into_the_work_dir(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=1)
    engine.predict(save_images=True)
    assert len(list((tmp_path / "work" / "predictions").rglob("*.*"))) == 9


def test_answers_can_be_drawn_counted_and_written_with_their_truth(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=1)
    answers = engine.predict(output=tmp_path / "out.json")
    assert answers.truth is not None
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["truth"]["names"][0] for row in written["predictions"]] == [Path(p.path).parent.name for p in answers]
    assert sum(answers.class_counts().values()) == 9
    assert '<img src="data:image' in answers._repr_html_()


def test_images_in_memory_are_kept_where_they_stay_or_are_needed(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    engine.train(max_epochs=1)
    image, broken = np.full((30, 40, 3), 90, np.uint8), np.zeros((3, 3), np.complex64)
    first, second = engine.predict([image, broken, image + np.uint8(9)])
    assert first.image is image
    assert (second.image == 99).all()
    assert engine.predict(iter([image]))[0].image is None
    folder = tmp_path / "folder"
    engine.predict(iter([image]), output=folder, output_format="image_folder")
    assert [path.name for path in folder.rglob("*.png")] == ["image_000000.png"]
    engine.predict(iter([image]), save_images=True)
    assert (tmp_path / "work" / "predictions" / "000000.jpg").is_file()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"output": "a.json", "output_format": "jsn"}, r"output_format='jsn' is not a format.*Did you mean 'json'"),
        ({"output_format": "json"}, r"output_format='json' needs a file or folder"),
        ({"output": "a.xyz"}, "does not imply a format; give output_format"),
    ],
)
def test_outputs_are_checked_before_the_model_is_made(
    values: dict[str, str], said: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    monkeypatch.setattr(engine, "select", lambda checkpoint: pytest.fail("the model was made"))
    with pytest.raises(OptionError, match=said):
        engine.predict(**values)


def test_an_engine_says_what_it_holds(dataset: Path, tmp_path: Path) -> None:
    engine = toy_engine(dataset, tmp_path / "work")
    assert (
        repr(engine)
        == f"ToyEngine('drivetrain.testing.toy.ToyModel', {str(dataset)!r}, work_dir={str(tmp_path / 'work')!r})"
    )
    assert repr(engine.data) == f"EngineData({str(dataset)!r})"
    with pytest.raises(OptionError, match=r"source=<engine.data> .* Give engine.dataset"):
        engine.predict(engine.data)


def test_a_run_is_tested_from_any_folder(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data given by a relative path are found again from elsewhere."""
    monkeypatch.chdir(dataset.parent)
    toy_engine(dataset.name, tmp_path / "work").train(max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert "accuracy" in Engine(tmp_path / "work").test()
    assert json.loads((tmp_path / "work" / "run.json").read_text())["data"]["source"] == str(dataset)
