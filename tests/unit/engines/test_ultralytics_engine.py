"""The Ultralytics engine: choosing, options, a short training, answers, export and errors."""

# ruff: noqa: TID253 - what is tested is made of torch

from __future__ import annotations

import copy
import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drivetrain import Engine, load
from drivetrain.data import load_dataset
from drivetrain.engines.ultralytics import build, train_args
from drivetrain.engines.ultralytics.data import flip_order, records
from drivetrain.errors import (
    CheckpointNotFoundError,
    DataError,
    MissingDependencyError,
    OptionError,
    UnsupportedError,
    UnsupportedOptionError,
)
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions

SMALL: dict[str, Any] = {"max_epochs": 1, "batch_size": 4, "image_size": 32}
COUNTS = {"train": 6, "val": 3, "test": 3}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("colours") / "data", subsets=COUNTS)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.coco(tmp_path_factory.mktemp("shapes") / "data", subsets=COUNTS)


def _engine(model: Any, source: Any, work_dir: Path, **more: Any) -> Engine:
    given = f"ultralytics:{model}" if isinstance(model, str) else model
    engine = Engine(given, source, work_dir=work_dir, **more)
    engine.progress = SilentProgress()
    return engine


@pytest.fixture(scope="module")
def classifier(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = _engine("yolo11n-cls", colours, tmp_path_factory.mktemp("cls") / "work")
    engine.train(1, batch_size=5, image_size=32, learning_rate=0.003, seed=3, patience=7, engine_args={"cos_lr": True})
    return engine


@pytest.fixture(scope="module")
def detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = _engine("yolo11n", shapes, tmp_path_factory.mktemp("det") / "work")
    engine.train(1, batch_size=3, image_size=64, learning_rate=0.01)
    return engine


def test_a_classifier_learns_the_labels_of_the_data(classifier: Engine) -> None:
    record = read_record(classifier.work_dir)
    assert record["status"] == "finished"
    assert classifier.label_names == ("blue", "green", "red")
    assert {"val/accuracy", "val/loss", "train/loss", "learning_rate"} <= set(record["metrics"])
    assert 0 <= classifier.test()["accuracy"] <= 1
    answers = classifier.predict()
    assert len(answers) == 9
    assert answers[0].probabilities is not None
    assert answers[0].probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_options_are_those_that_the_trainer_used(classifier: Engine) -> None:
    used = read_record(classifier.work_dir)["effective_options"]
    assert {name: used[name] for name in ("max_epochs", "batch_size", "learning_rate", "image_size")} == {
        "max_epochs": 1,
        "batch_size": 5,
        "learning_rate": 0.003,
        "image_size": 32,
    }
    assert (used["seed"], used["patience"], used["cos_lr"], used["deterministic"]) == (3, 7, True, False)
    saved = torch.load(classifier.work_dir / "checkpoints" / "last.pt", weights_only=False)["train_args"]
    assert (saved["optimizer"], saved["nbs"], saved["lr0"]) == ("AdamW", 5, 0.003)


def test_the_process_is_as_it_was(classifier: Engine) -> None:
    del classifier
    assert torch.save.__module__ == "torch.serialization"
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_checkpoint_is_the_model(classifier: Engine) -> None:
    expected = classifier.predict()
    for model in (classifier.work_dir, classifier.work_dir / "checkpoints" / "best.pt"):
        again = Engine(model).predict([item.path for item in expected])
        assert np.allclose([item.probabilities for item in again], [item.probabilities for item in expected], atol=1e-6)


def test_a_classifier_is_resized_as_ultralytics_does(classifier: Engine, colours: Path) -> None:
    paths = [str(path) for path in sorted((colours / "test").rglob("*.png"))]
    ours = classifier.predict(paths)
    theirs = classifier.model.predict(paths, imgsz=32, verbose=False, save=False)
    assert np.allclose([item.probabilities for item in ours], [item.probs.data.numpy() for item in theirs], atol=2e-3)


def test_a_detector_answers_in_pixels_of_the_image(detector: Engine) -> None:
    metrics = detector.test(subset="val")
    assert {"map", "map_50"} <= set(metrics)
    image = np.random.default_rng(0).integers(0, 255, (50, 120, 3)).astype(np.uint8)
    found = detector.predict(image, confidence=0.001)[0]
    assert found.boxes is not None
    assert found.size == (50, 120)
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2] <= 120).all()
    assert (found.boxes[:, 3] <= 50).all()


def test_its_own_numbers_are_beside_the_common_ones(classifier: Engine, detector: Engine, tmp_path: Path) -> None:
    assert classifier.test()["upstream/accuracy_top1"] == pytest.approx(classifier.test()["accuracy"])
    source = data.yolo(tmp_path / "data", subsets=COUNTS)
    ours = detector.test(source)
    theirs = detector.model.val(data=str(source), split="test", imgsz=64, plots=False, project=str(tmp_path / "val"))
    assert {f"upstream/{name.removeprefix('metrics/')}": value for name, value in theirs.results_dict.items()} == {
        name: pytest.approx(value, abs=1e-6) for name, value in ours.items() if name.startswith("upstream/")
    }


def test_an_image_that_cannot_be_read_is_left_out_of_both_numbers(detector: Engine, tmp_path: Path) -> None:
    source = data.yolo(tmp_path / "data", subsets=COUNTS)
    loaded = load_dataset(source, task="detection")
    broken = Path(loaded.subset("test").paths[0])
    broken.write_bytes(broken.read_bytes()[:60])
    assert {"map", "upstream/mAP50(B)"} <= set(detector.test(loaded))


def test_masks_are_traced_when_they_are_looked_at(shapes: Path) -> None:
    found = records(load_dataset(shapes, task="instance_segmentation").subset("train"), Task.INSTANCE_SEGMENTATION)
    outlines = found[0]["segments"]
    assert len(outlines) == len(found[0]["bboxes"])
    assert outlines._found is None
    given = copy.deepcopy(outlines)
    assert isinstance(given, list)
    for ring, (x, y, width, height) in zip(given, found[0]["bboxes"], strict=True):
        assert ring.dtype == np.float32
        assert (ring.min(axis=0) >= [x - width / 2 - 1e-6, y - height / 2 - 1e-6]).all()
        assert (ring.max(axis=0) <= [x + width / 2 + 1e-6, y + height / 2 + 1e-6]).all()
    given[0][:] = 0  # Ultralytics modifies its input
    assert outlines[0].any()
    assert outlines[0] is outlines[0]


@pytest.mark.parametrize(
    ("hook", "parameters"), [("engine.trainer:BaseTrainer.gone", ()), ("nn.tasks:torch_safe_load", ("gone",))]
)
def test_a_release_without_a_hook_is_refused(
    hook: str, parameters: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(build._HOOKS, hook, parameters)
    wanted = rf"lacks {re.escape(hook)}, which this engine needs. Releases that work: >=8.4"
    with pytest.raises(MissingDependencyError, match=wanted):
        build.require_hooks()


def test_a_live_object_keeps_its_weights(colours: Path, tmp_path: Path) -> None:
    from ultralytics import YOLO

    model = YOLO("yolo11n-cls.yaml")
    before = model.model.state_dict()["model.0.conv.weight"].clone()
    engine = _engine(model, colours, tmp_path / "work")
    engine.train(**SMALL, learning_rate=1e-9, engine_args={"warmup_epochs": 0})
    assert engine.model is model
    after = model.model.state_dict()["model.0.conv.weight"]
    assert torch.allclose(before, after, atol=1e-3)
    assert len(model.names) == 3


def test_a_run_goes_on_with_more_epochs(classifier: Engine, colours: Path, tmp_path: Path) -> None:
    del classifier
    _engine("yolo11n-cls", colours, tmp_path / "work").train(**SMALL)
    result = _engine("yolo11n-cls", colours, tmp_path / "work").train(**{**SMALL, "max_epochs": 2}, resume=True)
    assert [row.epoch for row in result.history] == [0, 1]
    options: dict[str, Any] = {"learning_rate": 0.5, "seed": 9, "engine_args": {"degrees": 3.0}}
    for name, value in options.items():
        again = _engine("yolo11n-cls", colours, tmp_path / "work")
        with pytest.raises(
            OptionError, match=f"{name}=.* cannot be honoured: the training resumes with that of its saved"
        ):
            again.train(**{**SMALL, "max_epochs": 3, name: value}, resume=True)


def test_a_loader_of_the_users_trains_a_classifier(colours: Path, tmp_path: Path) -> None:
    from torch.utils.data import DataLoader
    from ultralytics import YOLO
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset

    arguments = get_cfg(overrides={"imgsz": 32})
    images = {subset: ClassificationDataset(str(colours / subset), arguments) for subset in ("train", "val")}
    loaders = {subset: DataLoader(dataset, batch_size=6) for subset, dataset in images.items()}
    engine = _engine(YOLO("yolov8n-cls.yaml"), loaders, tmp_path / "work")
    result = engine.train(2, image_size=32)
    assert [row.epoch for row in result.history] == [0, 1]
    assert {"val/accuracy", "train/loss"} <= set(result.metrics)
    assert engine.label_names == ("blue", "green", "red")
    answers = engine.predict(str(colours / "test" / "red"))
    assert answers[0].probabilities is not None
    assert answers[0].probabilities.shape == (3,)


def test_callbacks_and_threads_during_training(colours: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    events: Any = {"on_train_epoch_end": lambda trainer: seen.append(torch.get_num_threads())}
    _engine("yolo11n-cls", colours, tmp_path / "work").train(**SMALL, callbacks=events)
    assert seen == [torch.get_num_threads()]


@pytest.mark.slow
def test_a_detector_becomes_an_artefact(detector: Engine, shapes: Path) -> None:
    artifact = detector.export("openvino")
    assert artifact.parity is not None
    assert artifact.parity["passed"]
    paths = [str(path) for path in sorted((shapes / "images" / "test").iterdir())]
    ours = detector.predict(paths, confidence=0.001)
    theirs = load(artifact.path, precision="f32").predict(paths, confidence=0.001)
    for one, other in zip(ours, theirs, strict=True):
        assert one.boxes is not None
        assert other.boxes is not None
        assert other.boxes == pytest.approx(one.boxes, abs=0.05)
        assert other.scores == pytest.approx(one.scores, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (32, 64)}, "trains on squares"),
        ({"image_size": 33}, "must be a multiple of 32. The next one is 64"),
        ({"engine_args": {"val": False}}, r"val is set by train\(check_val_every_n_epoch=...\)"),
        ({"precision": "fp16"}, "fp32 on the CPU"),
        ({"devices": 2}, r"data in memory do not reach them. Leave devices out, or .* train by the yolo command"),
        ({"logger": object()}, r"has no logger objects .* Give the name of a tracker \(tensorboard, mlflow, wandb\)"),
        ({"callbacks": {"on_train_epoch_ende": print}}, "Did you mean 'on_train_epoch_end'"),
        ({"callbacks": [object()]}, "not a pair of an event and a function"),
        ({"engine_args": {"lr0": 0.1}}, r"lr0 is set by train\(learning_rate=...\)"),
        ({"engine_args": {"mosiac": 0.1}}, "Did you mean 'mosaic'"),
        (
            {"learning_rate": 2.0},
            "^learning_rate=2.0 is not allowed by Ultralytics. Allowed: greater than 0, at most 1.0",
        ),
        (
            {"engine_args": {"mosaic": -1.0}},
            "^engine_args: mosaic=-1.0 is not allowed by Ultralytics. Allowed values are",
        ),
        ({"engine_args": {"nbs": 0}}, "^engine_args: nbs=0 is not allowed by Ultralytics. It must be >= 1"),
        ({"engine_args": {"cos_lr": "often"}}, "^engine_args: cos_lr='often' is not allowed by Ultralytics. .*a bool"),
        ({"engine_args": {"optimizer": "Adm"}}, "^engine_args: optimizer='Adm' is not allowed.*Did you mean 'Adam'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    options: dict[str, Any], message: str, colours: Path, tmp_path: Path
) -> None:
    engine = _engine("yolo11n-cls", colours, tmp_path / "work", device="cpu")
    with pytest.raises(OptionError, match=message):
        engine.train(1, **options)
    assert not (tmp_path / "work").exists()


def test_a_batch_larger_than_the_data_is_refused(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="batch_size=99 is larger than the data: there are 18"):
        _engine("yolo11n-cls", colours, tmp_path / "work").train(1, batch_size=99)


def test_validation_after_every_second_epoch(colours: Path, tmp_path: Path) -> None:
    """And after the last; only a validated epoch can be the best, and a resumed run validates at its own interval."""
    engine = _engine("yolo11n-cls", colours, tmp_path / "work")
    options: dict[str, Any] = {"batch_size": 5, "image_size": 32, "learning_rate": 0.003}
    history = engine.train(3, check_val_every_n_epoch=2, **options).history
    assert [("val/accuracy" in row.metrics, "val/loss" in row.metrics) for row in history] == [
        (False, False),
        (True, True),
        (True, True),
    ]
    assert all("train/loss" in row.metrics for row in history)
    assert read_record(engine.work_dir)["best_epoch"] in (1, 2)
    again = _engine("yolo11n-cls", colours, tmp_path / "work").train(5, **options, resume=True)
    assert ["val/accuracy" in row.metrics for row in again.history][3:] == [True, True]


def test_an_unknown_metric_names_those_there_are(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"metric='val/acuracy' is not measured. Did you mean 'val/accuracy'"):
        _engine("yolo11n-cls", colours, tmp_path / "work").train(**SMALL, metric="val/acuracy")


def test_a_task_that_the_data_do_not_serve_is_refused(shapes: Path, colours: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="keypoint"):
        _engine("yolo11n-pose", shapes, tmp_path / "work").train(1)
    with pytest.raises(OptionError, match="is a model for the task 'classification'"):
        _engine("yolo11n-cls", colours, tmp_path / "work", task="detection").train(1)


def test_a_missing_checkpoint_is_not_downloaded(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    looked = re.escape(
        f"model='yolo11n.pt' does not exist: no such file or folder in {tmp_path}. Did you mean 'yolo11n'"
    )
    with pytest.raises(CheckpointNotFoundError, match=rf"{looked}.* Nothing was downloaded\."):
        Engine("yolo11n.pt", shapes, engine="ultralytics")


def test_a_run_does_not_go_on_with_other_classes(classifier: Engine, tmp_path: Path) -> None:
    others = data.class_folders(tmp_path / "others", classes=("red", "blue"), subsets=COUNTS)
    shutil.copytree(classifier.work_dir, tmp_path / "work")
    with pytest.raises(OptionError, match=r"data=.*others': the run was started with"):
        _engine("yolo11n-cls", others, tmp_path / "work").train(2, batch_size=5, image_size=32, resume=True)
    record = json.loads((tmp_path / "work" / "run.json").read_text())
    record["data"]["source"] = str(others)  # the classes of the same folder have changed since
    (tmp_path / "work" / "run.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"the run has 3 classes \(blue, green, red\), but the data have 2 \(blue"):
        _engine("yolo11n-cls", others, tmp_path / "work").train(2, batch_size=5, image_size=32, resume=True)


def test_other_classes_are_refused_by_a_test(classifier: Engine, tmp_path: Path) -> None:
    others = data.class_folders(tmp_path / "others", classes=("red", "violet", "blue"), subsets=COUNTS)
    with pytest.raises(DataError, match="violet"):
        classifier.test(others)


def test_a_data_yaml_that_counts_otherwise_is_refused(tmp_path: Path) -> None:
    file = data.yolo(tmp_path / "data", subsets=COUNTS)
    file.write_text(file.read_text(encoding="utf-8") + "nc: 3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"nc=3, but 'names' has 2 \(circle, square\)"):
        _engine("yolo11n", file, tmp_path / "work").train(**SMALL)


def test_boxes_outside_the_image_are_clipped_and_counted(tmp_path: Path) -> None:
    source = data.coco(tmp_path / "data", subsets=COUNTS)
    file = source / "annotations" / "instances_train.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for annotation in content["annotations"][:2]:
        annotation["bbox"] = [-20, 10, 200, 30]
    file.write_text(json.dumps(content), encoding="utf-8")
    engine = _engine("yolo11n", source, tmp_path / "work")
    assert any(note.startswith("2 boxes") for note in engine.dataset.notes), engine.dataset.notes
    labels = records(engine.dataset.subset("train"), engine.task)
    corners = np.concatenate([part["bboxes"][:, :2] - part["bboxes"][:, 2:] / 2 for part in labels])
    assert (corners >= 0).all()


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("left_eye", "right_eye", "nose"), [1, 0, 2]),
        (("Left hand", "right hand"), [1, 0]),
        (("a", "b"), []),
        (("left_eye", "nose"), []),
    ],
)
def test_points_are_mirrored_if_their_names_tell_how(names: tuple[str, ...], order: list[int]) -> None:
    assert flip_order(names) == order


def test_models_that_learn_from_texts_are_not_trained(shapes: Path, tmp_path: Path) -> None:
    from ultralytics import YOLOWorld

    wanted = r"yolov8s-world learns from the texts .* text encoder \(CLIP or MobileCLIP\), .* such as yolo11n"
    with pytest.raises(UnsupportedError, match=wanted):
        _engine("yolov8s-world", shapes, tmp_path / "name").train(1)
    model = YOLOWorld("yolov8s-world.yaml")
    with pytest.raises(UnsupportedError, match=r"The YOLOWorld object learns from the texts"):
        _engine(model, shapes, tmp_path / "work").train(1)
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("YOLOWorld", "yolov8s-world.yaml"), ("YOLOE", "yoloe-11s.yaml")])
def test_classes_that_were_set_are_asked_about_and_exported(kind: str, name: str, shapes: Path, tmp_path: Path) -> None:
    """Random vectors replace the output of the text encoder, which is not available here."""
    import ultralytics

    model = getattr(ultralytics, kind)(name)
    vectors = torch.nn.functional.normalize(torch.randn(1, 2, 512), dim=-1)
    if kind == "YOLOE":
        model.set_classes(["circle", "square"], vectors)
    else:
        model.model.txt_feats, model.model.names = vectors, {0: "circle", 1: "square"}
        model.model.model[-1].nc = 2
    engine = _engine(model, shapes, tmp_path / "work", engine="ultralytics")
    assert "map" in engine.test()
    artifact = engine.export("openvino")
    assert artifact.parity is not None
    assert artifact.parity["passed"]


class _Seen(Exception):
    """Carries the options that the trainer would actually use."""


def test_every_option_of_train_is_in_the_table_and_reaches_the_trainer(shapes: Path, tmp_path: Path) -> None:
    """The arguments are read from the trainer itself, just before it starts."""
    assert set(train_args.OPTIONS) == set(TrainOptions.names())
    seen: dict[str, Any] = {}

    def look(upstream: Any) -> None:
        seen.update(vars(upstream.args))
        raise _Seen

    given: dict[str, Any] = {"max_epochs": 3, "batch_size": 3, "learning_rate": 0.004, "image_size": 96, "seed": 5}
    given |= {"deterministic": True, "precision": "fp32", "patience": 2, "num_workers": 0, "devices": 1}
    given["class_weights"] = "balanced"
    wanted = {"epochs": 3, "batch": 3, "lr0": 0.004, "imgsz": 96, "seed": 5, "deterministic": True, "amp": False}
    wanted |= {"patience": 2, "workers": 0, "device": "cpu", "nbs": 3, "optimizer": "AdamW", "resume": False}
    wanted["cls_pw"] = 1.0
    assert {train_args.OPTIONS[name] for name in given} | {"resume"} == {*filter(None, train_args.OPTIONS.values())}
    with pytest.raises(_Seen):
        _engine("yolo11n", shapes, tmp_path / "work", device="cpu").train(
            **given, check_val_every_n_epoch=1, callbacks={"on_train_start": look}, engine_args={"mosaic": 0.25}
        )
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["mosaic"] == 0.25


def test_the_optimizers_are_those_that_the_trainer_knows() -> None:
    trainer = importlib.import_module("ultralytics.engine.trainer").BaseTrainer
    constants = trainer.build_optimizer.__code__.co_consts
    known = next(names for names in constants if isinstance(names, frozenset) and "auto" in names)
    assert known == set(train_args.OPTIMIZERS)


def test_more_than_one_device_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedOptionError, match=r"^devices="):
        train_args.check_options(TrainOptions(devices=[0, 1]), "cpu")


@pytest.mark.parametrize(
    ("model", "batch", "task"),
    [
        ("yolo11n", {"img": 0, "cls": 0}, "classification"),
        ("yolo11n-cls", {"img": 0, "cls": 0, "bboxes": 0, "batch_idx": 0}, "detection"),
    ],
)
def test_a_loader_of_another_task_is_named_by_its_task(
    model: str, batch: dict[str, int], task: str, tmp_path: Path
) -> None:
    from torch.utils.data import DataLoader

    items = [{name: torch.zeros(3, 32, 32) if name == "img" else torch.tensor(0) for name in batch} for _ in range(4)]
    with pytest.raises(DataError, match=f"The loader is for the task '{task}', but "):
        _engine(model, DataLoader(items), tmp_path / "work").train(1)


def test_a_loader_of_other_batches_is_explained(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    pairs = TensorDataset(torch.zeros(4, 3, 32, 32), torch.zeros(4))
    pairs.classes = ["one"]
    with pytest.raises(DataError, match=r"without 'img', 'cls'. For classification Ultralytics takes a dict"):
        _engine("yolo11n-cls", DataLoader(pairs), tmp_path / "work").train(1)
