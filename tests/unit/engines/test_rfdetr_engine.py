"""The RF-DETR engine: its models, its data, answers equal to RF-DETR's, checkpoints in both directions, and errors."""

# ruff: noqa: TID253 - what is tested is made of torch

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drivetrain import Engine, load
from drivetrain.data import load_dataset
from drivetrain.engines.rfdetr import build, train
from drivetrain.engines.rfdetr.checkpoint import read
from drivetrain.engines.rfdetr.data import Images, coco_rows, data_module
from drivetrain.engines.rfdetr.listing import models
from drivetrain.engines.rfdetr.states import metric_names
from drivetrain.engines.rfdetr.variants import class_of, task_of
from drivetrain.engines.rfdetr.weights import set_labels
from drivetrain.errors import (
    CheckpointError,
    DataError,
    MissingDependencyError,
    OptionError,
    UnsafeCheckpointError,
    UnsupportedOptionError,
)
from drivetrain.testing import data
from drivetrain.types import Sample, Task
from drivetrain.types.options import TrainOptions

SMALL: dict[str, Any] = {"dec_layers": 1, "group_detr": 1, "num_queries": 20, "num_select": 20}
BLOCKS: dict[str, Any] = {**SMALL, "patch_size": 16, "num_windows": 2}  # the other tasks have other patches
QUICK: dict[str, Any] = {
    "max_epochs": 1,
    "image_size": 64,
    "batch_size": 4,
    "num_workers": 0,
    "engine_args": {"grad_accum_steps": 1, "multi_scale": False},
}
COUNTS = {"train": 6, "val": 3, "test": 3}
LABELS = ("circle", "square")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path) -> Iterator[None]:
    """Delete the state, which is half a gigabyte with the optimiser."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.coco(tmp_path_factory.mktemp("shapes") / "data", subsets=COUNTS)


def make(name: str = "RFDETRNano", labels: tuple[str, ...] | None = LABELS, keypoints: int = 0, **more: Any) -> Any:
    """A small RF-DETR object whose scores differ clearly, as those of a trained one do."""
    arguments = {**(SMALL if name == "RFDETRNano" else BLOCKS), **more}
    detr, _ = build.build(class_of(name), arguments, labels=labels, keypoints=keypoints, resolution=64, seed=1)
    with torch.no_grad():
        head = detr.model.model.class_embed
        head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
        head.bias.zero_()
        head.weight[-1], head.bias[-1] = 0, -30  # RF-DETR also predicts "nothing", which is not an answer here
    return detr


def picture(size: tuple[int, int] = (64, 64)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 255, (*size, 3), dtype=np.uint8)


# --- models ----------------------------------------------------------------------------------------------------------


def test_the_models_are_those_that_rfdetr_does_not_call_deprecated() -> None:
    found = {row["name"]: row for row in models()["models"]}
    assert {"rfdetr-nano", "rfdetr-small", "rfdetr-medium", "rfdetr-large", "rfdetr-seg-2xlarge"} <= set(found)
    assert "rfdetr-base" not in found
    assert found["rfdetr-seg-nano"]["tasks"] == ["instance_segmentation"]
    assert found["rfdetr-keypoint-preview"]["tasks"] == ["keypoint_detection"]
    arguments = {row["name"]: row for row in models()["arguments"]["RFDETRNano"]}
    assert arguments["num_queries"]["default"] == "300"
    assert "nothing is downloaded" in arguments["pretrain_weights"]["help"]


@pytest.mark.parametrize("name", ["rfdetr:rfdetr-nano", "rfdetr:rfdetr-seg-nano"])
def test_names_are_served(name: str) -> None:
    assert Engine(name).spec.name == "rfdetr"


@pytest.mark.parametrize("version", ["1.7.1", "1.9.0", "1.11.2"])
def test_another_release_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr("drivetrain.models.spec.version_of", lambda name: version)
    with pytest.raises(MissingDependencyError, match=rf"rfdetr {version} is installed.*pip install 'rfdetr>=1.8,<1.9'"):
        Engine("rfdetr:rfdetr-nano")


def test_an_own_object_stays_itself(shapes: Path, tmp_path: Path) -> None:
    detr = make()
    engine = Engine(detr, shapes, work_dir=tmp_path / "work")
    assert engine.spec.name == "rfdetr"
    assert engine.task is Task.DETECTION
    assert engine.model is detr


# --- answers equal to RF-DETR's --------------------------------------------------------------------------------------


def referee(detr: Any, image: Any, threshold: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return detr.predict(Image.fromarray(image), threshold=threshold)


@pytest.mark.parametrize("size", [(64, 64), (48, 100)])
def test_boxes_are_those_of_rfdetrs_own_predict(size: tuple[int, int]) -> None:
    detr, image = make(), picture(size)
    ours = Engine(detr).predict(image, confidence=0.4)[0]
    theirs = referee(detr, image, 0.4)
    assert len(theirs) > 3
    height, width = size
    expected = np.clip(theirs.xyxy, 0, [width, height, width, height])
    assert ours.boxes is not None
    within = 1e-3 if size == (64, 64) else 0.5  # images of other sizes are rounded to integer levels
    if size == (64, 64):
        np.testing.assert_array_equal(ours.labels, theirs.class_id)
        np.testing.assert_allclose(ours.scores, theirs.confidence, atol=1e-5)
        np.testing.assert_allclose(ours.boxes, expected, atol=within)
    else:
        assert abs(len(ours.boxes) - len(theirs)) <= 1
        np.testing.assert_allclose(ours.boxes[0], expected[0], atol=within)


def test_masks_are_those_of_rfdetrs_own_predict() -> None:
    detr, image = make("RFDETRSegNano"), picture()
    ours = Engine(detr).predict(image, confidence=0.4)[0]
    theirs = referee(detr, image, 0.4)
    assert len(theirs) > 3
    assert ours.masks is not None
    np.testing.assert_allclose(ours.scores, theirs.confidence, atol=1e-5)
    assert np.mean(ours.masks == theirs.mask) > 0.999
    assert 0 < ours.masks.mean() < 1


def test_keypoints_and_their_certainty_are_those_of_rfdetrs_own_predict() -> None:
    detr, image = make("RFDETRKeypointPreview", keypoints=3), picture()
    with torch.no_grad():
        for part in detr.model.model.keypoint_embed.parameters():
            part.add_(torch.randn(part.shape, generator=torch.Generator().manual_seed(4)) * 0.05)
    ours = Engine(detr).predict(image, confidence=0.3)[0]
    theirs = referee(detr, image, 0.3)
    order = np.argsort(-theirs.detection_confidence, kind="stable")
    assert len(order) > 3
    assert ours.scores is not None
    assert ours.keypoints is not None
    np.testing.assert_allclose(ours.scores, np.minimum(theirs.detection_confidence[order], 1), atol=1e-4)
    assert np.ptp(ours.scores) > 0.01
    np.testing.assert_allclose(ours.keypoints[..., :2], theirs.xy[order], atol=1e-2)
    np.testing.assert_allclose(ours.keypoints[..., 2], theirs.keypoint_confidence[order], atol=1e-4)


def test_a_head_without_names_counts_as_coco_does() -> None:
    names = build.names_of(make(labels=None, num_classes=90))
    assert len(names) == 91
    assert (names[1], names[90]) == ("person", "toothbrush")


def test_classes_that_stay_keep_their_rows() -> None:
    detr = make(labels=("a", "b", "c"))
    before = detr.model.model.class_embed.weight.detach().clone()
    notes = set_labels(detr, ("c", "d"), ("a", "b", "c"))
    after = detr.model.model.class_embed.weight
    assert after.shape[0] == 3
    assert torch.equal(after[0], before[2])
    assert torch.equal(after[-1], before[-1])
    assert "keeps c" in notes[0]


# --- data ------------------------------------------------------------------------------------------------------------


def sample(**more: Any) -> Sample:
    boxes = np.array([[2, 2, 8, 8], [30, 30, 40, 40], [4, 4, 60, 60], [1, 1, 5, 9]], np.float32)
    crowd = np.array([False, False, True, False])
    return Sample("a.png", (20, 20), boxes=boxes, box_labels=np.array([0, 1, 1, 1]), iscrowd=crowd, **more)


def test_objects_outside_the_image_and_crowds_are_not_learnt(tmp_path: Path) -> None:
    from rfdetr.datasets.coco import ConvertCoco

    _, target = ConvertCoco()(Image.new("RGB", (20, 20)), {"image_id": 1, "annotations": coco_rows(sample())})
    assert target["labels"].tolist() == [0, 1]
    assert target["boxes"].tolist() == [[2, 2, 8, 8], [1, 1, 5, 9]]


def modules(shapes: Path, name: str, keypoints: int = 0) -> tuple[Any, Any]:
    detr = make(name, keypoints=keypoints)
    dataset = load_dataset(shapes, task=task_of(detr.model_config))
    config = train.configuration(
        detr, TrainOptions(**QUICK), Path("unused"), dataset.label_names, dataset.keypoint_names
    )
    module = data_module(dataset, detr.model_config, config, 0)
    module.setup("fit")
    return module, dataset


def test_a_batch_has_boxes_and_masks_at_the_size_of_the_model(shapes: Path) -> None:
    module, _ = modules(shapes, "RFDETRSegNano")
    images, targets = next(iter(module.train_dataloader()))
    assert images.tensors.shape == (4, 3, 64, 64)
    for target in targets:
        count = len(target["labels"])
        assert target["masks"].shape == (count, 64, 64)
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = np.nonzero(mask.numpy())
            centre = ((columns.min() + columns.max() + 1) / 128, (rows.min() + rows.max() + 1) / 128)
            assert box[:2].numpy() == pytest.approx(centre, abs=0.03)


def test_order_and_changes_follow_from_the_seed_and_the_epoch_alone(shapes: Path) -> None:
    found = []
    for epoch, before in ((1, 0), (1, 3), (2, 0)):
        module, _ = modules(shapes, "RFDETRNano")
        loader = module.train_dataloader()
        torch.manual_seed(before)  # earlier random draws do not matter
        loader.sampler.set_epoch(epoch)
        found.append([(images.tensors, [int(row["image_id"]) for row in rows]) for images, rows in loader])
    first, again, other = found
    assert [rows for _, rows in first] == [rows for _, rows in again] != [rows for _, rows in other]
    assert all(torch.equal(one[0], two[0]) for one, two in zip(first, again, strict=True))


def test_an_image_that_comes_twice_is_changed_twice(shapes: Path) -> None:
    module, _ = modules(shapes, "RFDETRNano")
    images = module.train_dataloader().sampler.images
    assert len({float(images[0][0].double().sum()) for _ in range(8)}) > 1


def test_an_image_without_objects_is_kept_as_background(tmp_path: Path) -> None:
    folder = data.coco(tmp_path / "data", subsets=COUNTS)
    (file,) = (folder / "annotations").glob("*train*")
    content = json.loads(file.read_text(encoding="utf-8"))
    first = content["images"][0]["id"]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != first]
    file.write_text(json.dumps(content), encoding="utf-8")
    module, dataset = modules(folder, "RFDETRNano")
    images = module.train_dataloader().dataset
    assert isinstance(images, Images)
    empty = [number for number in range(len(images)) if not len(images[number][1]["labels"])]
    assert len(images) == len(dataset.subset("train")) == 6
    assert empty


def test_keypoints_are_measured_on_annotations_in_memory(tmp_path: Path) -> None:
    folder = data.coco(tmp_path / "data", subsets=COUNTS, keypoints=("left", "right", "top"))
    module, dataset = modules(folder, "RFDETRKeypointPreview", keypoints=3)
    assert module.train_config.keypoint_oks_sigmas == [1 / 3] * 3
    index = module.val_dataloader().dataset.coco
    assert len(index.anns) == sum(len(item.boxes) for item in dataset.subset("val"))
    assert [row["name"] for row in index.loadCats(index.getCatIds())] == list(LABELS)


def test_images_with_keypoints_are_not_mirrored(tmp_path: Path) -> None:
    folder = data.coco(tmp_path / "data", subsets=COUNTS, keypoints=("left", "right"))
    module, _ = modules(folder, "RFDETRKeypointPreview", keypoints=2)
    assert module.train_config.aug_config == {}


def test_data_without_training_images_are_refused(shapes: Path) -> None:
    detr = make()
    dataset = load_dataset(shapes, task=Task.DETECTION)
    config = train.configuration(
        detr, TrainOptions(**QUICK), Path("unused"), dataset.label_names, dataset.keypoint_names
    )
    with pytest.raises(DataError, match="no images in the subset 'train'"):
        data_module(dataset.subset("val"), detr.model_config, config, 0)


# --- RF-DETR's own data module ---------------------------------------------------------------------------------------


def roboflow(shapes: Path, folder: Path) -> Path:
    """The same images in the folders that RF-DETR itself reads."""
    for ours, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        shutil.copytree(shapes / "images" / ours, folder / theirs)
        (file,) = (shapes / "annotations").glob(f"*{ours}*")
        content = json.loads(file.read_text(encoding="utf-8"))
        for row in content["images"]:
            row["file_name"] = Path(row["file_name"]).name
        (folder / theirs / "_annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def own_module(detr: Any, folder: Path, **more: Any) -> Any:
    from rfdetr.training import RFDETRDataModule

    fields = {"batch_size": 2, "grad_accum_steps": 1, "num_workers": 0, "multi_scale": False, "use_ema": False, **more}
    return RFDETRDataModule(detr.model_config, detr.get_train_config(dataset_dir=str(folder), **fields))


@pytest.mark.slow
def test_a_data_module_passes_through(shapes: Path, tmp_path: Path) -> None:
    """It trains unchanged, its TrainConfig applies to the training, and RF-DETR's and our metrics are both reported."""
    folder = roboflow(shapes, tmp_path / "data")
    detr = make(labels=None, num_classes=7)
    module = own_module(detr, folder, lr=3e-4)
    engine = Engine(detr, module, work_dir=tmp_path / "work")
    result = engine.train(1)
    assert engine.label_names == LABELS
    used = json.loads((tmp_path / "work" / "run.json").read_text(encoding="utf-8"))["effective_options"]
    assert (used["learning_rate"], used["batch_size"], used["use_ema"]) == (3e-4, 2, False)
    assert "val/map" in result.history[0].metrics
    metrics = engine.test()
    assert metrics["map"] == pytest.approx(metrics["upstream/test/mAP_50_95"], abs=0.02)
    assert Engine(result.last_checkpoint).predict(picture()).label_names == LABELS
    by_name = Engine("rfdetr:rfdetr-nano", module, work_dir=tmp_path / "other", model_args={**SMALL, "resolution": 64})
    assert by_name.label_names == LABELS


@pytest.mark.parametrize(
    ("options", "fields", "text"),
    [
        ({"batch_size": 3}, {}, "batch_size=3 cannot be honoured: your own RFDETRDataModule fixes it"),
        ({"engine_args": {"multi_scale": True}}, {}, "multi_scale is a field of the TrainConfig of your own"),
        ({}, {"early_stopping": True}, r"has early_stopping=True, which is set by train\(patience=...\)"),
    ],
)
def test_what_a_data_module_fixes_is_refused(
    shapes: Path, tmp_path: Path, options: dict[str, Any], fields: dict[str, Any], text: str
) -> None:
    detr = make()
    engine = Engine(detr, own_module(detr, shapes, **fields), work_dir=tmp_path / "work")
    with pytest.raises(UnsupportedOptionError, match=text):
        engine.train(1, **options)
    assert not (tmp_path / "work").exists()


def test_a_data_module_for_another_model_is_refused(shapes: Path, tmp_path: Path) -> None:
    module = own_module(make("RFDETRSegNano"), roboflow(shapes, tmp_path / "data"))
    with pytest.raises(DataError, match=r"created for the task 'instance_segmentation', the model is for 'detection'"):
        Engine(make(), module, work_dir=tmp_path / "work").train(1)


def test_a_folder_that_rfdetr_reads_is_read(shapes: Path, tmp_path: Path) -> None:
    engine = Engine(make(), roboflow(shapes, tmp_path / "data"))
    assert engine.dataset.label_names == LABELS
    assert dict(engine.dataset.subsets) == COUNTS


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"image_size": 65}, OptionError, r"image_size=65 is not divisible by 32.*nearest valid ones: 64"),
        ({"image_size": (64, 96)}, UnsupportedOptionError, "RF-DETR takes square images"),
        ({"engine_args": {"lr": 1}}, UnsupportedOptionError, r"lr is set by train\(learning_rate=...\)"),
        ({"engine_args": {"early_stopping": True}}, UnsupportedOptionError, r"set by train\(patience=...\)"),
        ({"engine_args": {"wandb": True}}, UnsupportedOptionError, r"set by train\(logger=...\)"),
        ({"engine_args": {"accumulate_grad_batches": 2}}, UnsupportedOptionError, "grad_accum_steps"),
        ({"engine_args": {"use_em": True}}, OptionError, "Did you mean 'use_ema'"),
        ({"engine_args": {"clip_max_norm": "much"}}, OptionError, "clip_max_norm='much'"),
        ({"devices": 2}, UnsupportedOptionError, "devices=2"),
    ],
)
def test_options_are_refused_by_name(
    shapes: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    engine = Engine(make(), shapes, work_dir=tmp_path / "work")
    with pytest.raises(error, match=text):
        engine.train(**{**QUICK, **options})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_querys": 3}, "num_quer"),
        ({"num_queries": "many"}, "num_queries='many'"),
        ({"resolution": 100}, "resolution=100 is not divisible by 32"),
    ],
)
def test_arguments_of_the_model_are_refused_by_name(shapes: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Engine("rfdetr:rfdetr-nano", shapes, model_args=arguments).predict()


def test_another_task_is_refused(shapes: Path) -> None:
    with pytest.raises(OptionError, match="is a model for the task 'detection'"):
        Engine("rfdetr:rfdetr-nano", shapes, task="instance_segmentation").train(**QUICK)


def test_metrics_are_those_of_the_weights_that_answer() -> None:
    logged = {"val/mAP_50_95": 0.1, "val/ema_mAP_50_95": 0.2, "train/loss_ce": 1.0, "train/loss_ce_0": 2.0}
    assert metric_names(Task.DETECTION, averaged=True)(logged) == {
        "upstream/val/mAP_50_95": 0.1,
        "val/map": 0.2,
        "train/loss_ce": 1.0,
    }
    assert metric_names(Task.DETECTION, averaged=False)(logged)["val/map"] == 0.1


# --- checkpoints -----------------------------------------------------------------------------------------------------


def published(path: Path, detr: Any, **more: Any) -> Path:
    """A file in the form of RF-DETR's published weights: the arguments in a namespace, and no model name."""
    config = {**detr.model_config.model_dump(), "pretrain_weights": None}
    torch.save({"model": detr.model.model.state_dict(), "args": argparse.Namespace(**config, **more)}, path)
    return path


def test_a_published_file_tells_its_model(tmp_path: Path) -> None:
    detr = make(labels=None, num_classes=90, dec_layers=2)
    path = published(tmp_path / "weights.pth", detr)
    # the fields made smaller here no longer match a variant, so only the others identify it
    saved = torch.load(path, weights_only=False)
    vars(saved["args"]).update(num_queries=300, group_detr=13)
    torch.save(saved, path)
    assert read(path).class_name == "RFDETRNano"


def test_a_file_of_no_variant_says_how_to_open_it(tmp_path: Path) -> None:
    path = published(tmp_path / "weights.pth", make(hidden_dim=128))
    with pytest.raises(CheckpointError, match=r"does not say which RF-DETR model it belongs to.*pretrain_weights"):
        Engine(path).predict(picture())


def test_weights_are_taken_from_a_local_file(shapes: Path, tmp_path: Path) -> None:
    path = published(
        tmp_path / "weights.pth", detr := make(labels=("square", "other")), class_names=["square", "other"]
    )
    engine = Engine("rfdetr:rfdetr-nano", shapes, model_args={**SMALL, "resolution": 64, "pretrain_weights": str(path)})
    engine.predict()
    assert engine.label_names == LABELS
    theirs, ours = detr.model.model, engine.model.model.model
    assert torch.equal(ours.class_embed.weight[1], theirs.class_embed.weight[0])
    assert torch.equal(ours.refpoint_embed.weight, theirs.refpoint_embed.weight)


def test_weights_of_another_architecture_are_refused(shapes: Path, tmp_path: Path) -> None:
    path = published(tmp_path / "weights.pth", make(num_queries=10))
    engine = Engine("rfdetr:rfdetr-nano", shapes, model_args={**SMALL, "pretrain_weights": str(path)})
    with pytest.raises(CheckpointError, match=r"does not fit the model: refpoint_embed\.weight is"):
        engine.predict()


class _Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize("as_weights", [False, True])
def test_a_file_that_would_run_code_is_not_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_weights: bool
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": {}, "rfdetr_version": "1.8.0", "args": _Harmful()}, path)
    arguments = {**SMALL, "pretrain_weights": str(path)}
    engine = Engine("rfdetr:rfdetr-nano", model_args=arguments) if as_weights else Engine(path)
    with pytest.raises(UnsafeCheckpointError, match="was not opened"):
        engine.predict(picture())
    assert capsys.readouterr().out == ""


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_own_object_is_trained_and_opens_everywhere(shapes: Path, tmp_path: Path) -> None:
    """Its loss falls; RF-DETR opens the checkpoint and gives the same answers; the artefact loads without PyTorch."""
    from rfdetr import RFDETRNano

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        detr = RFDETRNano(pretrain_weights=None, device="cpu", resolution=64, **SMALL)
    engine = Engine(detr, shapes, work_dir=tmp_path / "work")
    result = engine.train(**{**QUICK, "max_epochs": 5})
    losses = [row.metrics["val/loss"] for row in result.history]
    assert losses[-1] < losses[0] - 0.2
    assert engine.model is detr
    assert engine.label_names == LABELS

    image = picture()
    ours = engine.predict(image, confidence=0.02)[0]
    for path in (result.best_checkpoint, result.last_checkpoint):
        assert path is not None
        engine.predict(image, checkpoint=path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = RFDETRNano.from_checkpoint(path)
        assert theirs.class_names == list(LABELS)
        if path == result.best_checkpoint:
            expected = referee(theirs, image, 0.02)
            assert len(expected) > 0
            assert ours.scores is not None
            known = expected.class_id < len(LABELS)  # RF-DETR also predicts "nothing"
            np.testing.assert_allclose(ours.scores[:5], expected.confidence[known][:5], atol=1e-5)
    assert not list((tmp_path / "work" / "upstream").rglob("*.pth"))

    artifact = engine.export()
    code = (
        f"import sys; from drivetrain import load; p = load({str(artifact.path)!r}); "
        f"print(len(p.predict({str(shapes / 'images' / 'test')!r}))); "
        "assert not {'torch', 'rfdetr', 'pytorch_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"


@pytest.mark.slow
def test_averaged_weights_go_on_with_the_run(shapes: Path, tmp_path: Path) -> None:
    """Two epochs in one run, and one epoch resumed for another, end in the same averaged weights."""
    for name, steps in (("whole", (2,)), ("parts", (1, 2))):
        for number, epochs in enumerate(steps):
            engine = Engine("rfdetr:rfdetr-nano", shapes, work_dir=tmp_path / name, model_args=SMALL)
            # a schedule by steps does not depend on the number of epochs
            engine.train(**{**QUICK, "max_epochs": epochs, "resume": number > 0})
    whole, parts = (read(tmp_path / name / "checkpoints" / "last.ckpt").tensors for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "points", "metric"),
    [
        ("rfdetr-seg-nano", (), "val/mask_map"),
        ("rfdetr-keypoint-preview", ("left", "right", "top"), "val/keypoint_map"),
    ],
)
def test_masks_and_keypoints_go_from_data_to_artefact(
    tmp_path: Path, name: str, points: tuple[str, ...], metric: str
) -> None:
    folder = data.coco(tmp_path / "data", subsets=COUNTS, keypoints=points)
    engine = Engine(name, folder, work_dir=tmp_path / "work", model_args=BLOCKS)
    result = engine.train(**QUICK)
    assert metric in result.history[0].metrics
    assert metric.removeprefix("val/") in engine.test()
    before = engine.predict(confidence=0.001)
    assert sum(len(item.scores) for item in before if item.scores is not None) > 0
    for format in ("openvino", "onnx"):  # noqa: A001  (the field's word)
        artifact = engine.export(format)
        assert artifact.parity["passed"] is True
        assert load(artifact.path, precision="f32").predict([item.path for item in before]).task is engine.task
    again = Engine(result.last_checkpoint)
    assert again.task is engine.task
    assert again.label_names == engine.label_names
