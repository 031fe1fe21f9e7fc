"""Options of detectors on the Lightning engine: average of the weights, backbone, mosaics, scales, tiles."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from drivetrain import Engine
from drivetrain.engines.lightning.models.averaging import WeightAverage
from drivetrain.engines.lightning.models.trained_parts import backbone_of, frozen_backbone, optimizer_of
from drivetrain.engines.lightning.vision.mosaic import mosaic_of
from drivetrain.engines.lightning.vision.placed import Placed, place
from drivetrain.engines.lightning.vision.tiles import RecentImages, tiles_to_learn
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.images.join_tiles import View
from drivetrain.images.tiling import Tiling
from drivetrain.testing.data import class_folders, coco
from drivetrain.types import ImageSpec, Sample, Task

SPEC = ImageSpec(32, 32)
SSD = "torchvision:ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco(tmp_path_factory.mktemp("scenes"), subsets={"train": 4, "val": 2, "test": 2}, size=96)


def _sample() -> tuple[Any, Sample]:
    """A picture of 40 x 80 pixels: one object left, one right, one across the middle."""
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 200
    boxes = np.array([[2, 2, 12, 12], [60, 20, 70, 30], [35, 10, 55, 20]], np.float32)
    points = np.array([[[5, 5, 2]], [[65, 25, 2]], [[37, 15, 2]]], np.float32)
    labels = np.array([0, 1, 1], np.int64)
    return image, Sample("a.png", (40, 80), boxes=boxes, box_labels=labels, keypoints=points)


# --- tiles -----------------------------------------------------------------------------------------------------------


def test_a_part_of_an_image_has_what_is_visible_of_its_objects() -> None:
    image, sample = _sample()
    right = place(image, sample, ImageSpec(40, 40), Task.KEYPOINT_DETECTION, 255, View(40, 0, 80, 40))
    assert right.image.min() == 200
    np.testing.assert_allclose(right.boxes, [[20, 20, 30, 30], [0, 10, 15, 20]])
    assert right.labels.tolist() == [1, 1]
    assert right.keypoints is not None
    np.testing.assert_allclose(right.keypoints, [[[25, 25, 2]], [[0, 0, 0]]])  # the second point lies in the other half


def test_hardly_visible_objects_are_left_out() -> None:
    image, sample = _sample()
    most = place(image, sample, SPEC, Task.DETECTION, 255, View(0, 0, 38, 40))  # three of the twenty columns of one
    assert most.labels.tolist() == [0]


class _Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_tiles_without_objects_do_not_outnumber_those_with(tmp_path: Path) -> None:
    from drivetrain import load_dataset

    data = load_dataset(coco(tmp_path, subsets={"train": 2}, size=256), task="detection").subset("train")
    run: Any = _Notes()
    tiles = tiles_to_learn(data, Task.DETECTION, Tiling(32, 0.0), 0, run)
    everything = sum(len(Tiling(32, 0.0).views((256, 256), whole=True)) for _ in range(2))
    assert len(tiles.items) < everything
    assert "with objects" in run.notes[0]
    again = tiles_to_learn(data, Task.DETECTION, Tiling(32, 0.0), 0, run)
    assert again.items == tiles.items


def test_images_are_decoded_once_while_there_is_room(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path in paths:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    recent = RecentImages(2 * 8 * 8 * 3)
    first = recent.read(paths[0])
    assert recent.read(paths[0]) is first
    for path in paths[1:]:
        recent.read(path)
    assert recent.read(paths[0]) is not first


@pytest.mark.slow
def test_training_on_tiles_validates_whole_images_and_predicts_by_the_same_tiles(scenes: Path, tmp_path: Path) -> None:
    engine = Engine(SSD, scenes, work_dir=tmp_path / "run")
    result = engine.train(max_epochs=1, batch_size=2, num_workers=0, image_size=64, tile=(64, 0.25))
    assert engine.weights.run.content["effective_options"]["tile"] == [64, 0.25]
    assert any("tiles of 64 px of 4 images are used for training" in note for note in result.notes)
    notes: list[str] = []
    engine.progress.note = notes.append  # type: ignore[method-assign]
    measured = engine.test(subset="val", tile="auto")
    assert "tile='auto': tiles of 64 px that overlap by 25%, which it was trained on." in notes
    assert result.metrics["val/map"] == pytest.approx(measured["map"], abs=1e-6)


# --- mosaic ----------------------------------------------------------------------------------------------------------


def _scene(level: int, *, objects: int) -> Placed:
    boxes = np.tile(np.array([[8, 8, 24, 24]], np.float32), (objects, 1))
    masks = np.zeros((objects, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 1
    points = np.tile(np.array([[[16, 16, 2]]], np.float32), (objects, 1, 1))
    classes = np.full((32, 32), level, np.int64)
    labels = np.full(objects, level, np.int64)
    return Placed(np.full((32, 32, 3), level, np.uint8), boxes, labels, masks, points, classes)


def test_a_mosaic_has_four_images_and_their_annotations() -> None:
    joined = mosaic_of([_scene(10, objects=1), _scene(20, objects=0), _scene(30, objects=1), _scene(40, objects=1)], 0)
    for level, (row, column) in {10: (5, 5), 20: (5, 25), 30: (25, 5), 40: (25, 25)}.items():
        assert joined.image[row, column, 0] == level
        assert joined.class_map is not None
        assert joined.class_map[row, column] == level
    np.testing.assert_allclose(joined.boxes, [[4, 4, 12, 12], [4, 20, 12, 28], [20, 20, 28, 28]])
    assert joined.labels.tolist() == [10, 30, 40]
    assert joined.keypoints is not None
    np.testing.assert_allclose(joined.keypoints[:, 0, :2], [[8, 8], [8, 24], [24, 24]])
    assert joined.masks is not None
    for mask, (left, top, right, bottom) in zip(joined.masks, joined.boxes.astype(int), strict=True):
        assert mask.sum() == mask[top:bottom, left:right].sum() == 64


# --- backbone --------------------------------------------------------------------------------------------------------


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.classifier = nn.Conv2d(4, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.backbone(images)).mean((2, 3))


def test_the_backbone_is_known_by_its_name_or_by_the_head() -> None:
    net = _Net()
    assert all(name.startswith("backbone.") for name in backbone_of(net, ()))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    assert backbone_of(plain, ("1",)) == ["0.weight", "0.bias"]
    assert backbone_of(plain, ()) == []


def test_the_backbone_learns_at_its_own_rate() -> None:
    net = _Net()
    made = optimizer_of(net, rate=0.1, backbone_rate=0.01, head=(), weight_decay=0.1, fused=False)
    rates = {
        id(value): (group["lr"], group["weight_decay"]) for group in made.param_groups for value in group["params"]
    }
    found = {name: rates[id(value)] for name, value in net.named_parameters()}
    assert found["backbone.0.weight"] == (0.01, 0.1)
    assert found["backbone.1.weight"] == (0.01, 0.0)
    assert found["classifier.weight"] == (0.1, 0.1)
    assert found["classifier.bias"] == (0.1, 0.0)


def test_a_frozen_backbone_keeps_its_weights_and_averages() -> None:
    module = nn.Module()
    module.net = net = _Net()
    module.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with frozen_backbone(module, (), asked=True):
        made = optimizer_of(net, rate=0.1, backbone_rate=None, head=(), weight_decay=0.1, fused=False)
        net(torch.rand(2, 3, 8, 8)).sum().backward()
        made.step()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone"), name
    assert all(value.requires_grad for value in net.parameters())


# --- the average -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_the_average_and_the_weights_to_go_on_from() -> None:
    class Trainer:
        global_step = 0
        sanity_checking = False

    net, trainer = nn.Linear(1, 1, bias=False), Trainer()
    average = WeightAverage(0.5)
    net.weight.data.fill_(0.0)
    average.on_fit_start(trainer, net)
    for step in (1, 2):
        trainer.global_step = step
        net.weight.data.fill_(1.0)
        average.on_train_batch_end(trainer, net)
    share = [1 - 2 / 11, 1 - 3 / 12]
    expected = 1 - (1 - share[0]) * (1 - share[1])
    average.on_validation_start(trainer, net)
    assert float(net.weight) == pytest.approx(expected)
    average.on_validation_end(trainer, net)
    assert float(net.weight) == 1.0
    content = {"state_dict": dict(net.state_dict())}
    average.on_save_checkpoint(trainer, net, content)
    assert float(content["state_dict"]["weight"]) == pytest.approx(expected)
    again, other = WeightAverage(0.5), nn.Linear(1, 1, bias=False)
    other.load_state_dict(content["state_dict"])
    again.on_load_checkpoint(trainer, other, content)
    assert float(other.weight) == 1.0
    assert float(again.average["weight"]) == pytest.approx(expected)


@pytest.mark.slow
def test_a_resumed_average_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "data")
    weights = []
    for name, parts in (("whole", (2,)), ("parts", (1, 2))):
        for number, epochs in enumerate(parts):
            engine = Engine(
                "timm:mobilenetv3_small_050", data, model_args={"pretrained": False}, work_dir=tmp_path / name
            )
            options: dict[str, Any] = {"ema": 0.9, "learning_rate": 0.01, "batch_size": 12, "num_workers": 0}
            if number:
                options = {"resume": True}
            engine.train(
                max_epochs=epochs, image_size=32, **({} if number else options), **({"resume": True} if number else {})
            )
        weights.append(torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True))
    assert set(weights[0]["state_dict"]) == set(weights[1]["state_dict"])
    assert not torch.equal(
        weights[0]["state_dict"]["net.conv_stem.weight"], weights[0]["drivetrain_raw_weights"]["net.conv_stem.weight"]
    )


# --- honoured together, and refused ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_of_them_are_honoured_and_read_back(scenes: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"ema": 0.9, "backbone_learning_rate": 1e-4, "mosaic": 1.0, "scale_jitter": 2.0}
    engine = Engine(SSD, scenes, work_dir=tmp_path / "run")
    engine.train(max_epochs=1, batch_size=2, num_workers=0, image_size=64, **asked)
    used = engine.weights.run.content["effective_options"]
    assert {name: used[name] for name in asked} == pytest.approx(asked)
    frozen = Engine(SSD, scenes, work_dir=tmp_path / "frozen")
    frozen.train(max_epochs=1, batch_size=2, num_workers=0, image_size=64, freeze_backbone=True)
    assert frozen.weights.run.content["effective_options"]["freeze_backbone"] is True


@pytest.mark.parametrize("option", [{"mosaic": 0.5}, {"scale_jitter": 2.0}, {"tile": 64}])
def test_what_changes_the_label_of_an_image_is_refused_for_classification(option: Any, tmp_path: Path) -> None:
    engine = Engine("timm:mobilenetv3_small_050", class_folders(tmp_path / "data"), work_dir=tmp_path / "run")
    with pytest.raises(UnsupportedOptionError, match="may have a different label from the whole"):
        engine.train(max_epochs=1, **option)


def test_a_frozen_backbone_has_no_learning_rate(tmp_path: Path) -> None:
    engine = Engine("timm:mobilenetv3_small_050", class_folders(tmp_path / "data"), work_dir=tmp_path / "run")
    with pytest.raises(OptionError, match="freeze_backbone=True and backbone_learning_rate contradict each other"):
        engine.train(max_epochs=1, freeze_backbone=True, backbone_learning_rate=0.1)


def test_a_search_starts_from_rates_for_detectors(scenes: Path, tmp_path: Path) -> None:
    space = Engine(SSD, scenes, work_dir=tmp_path).framework.search_space()
    assert (space["learning_rate"]["low"], space["learning_rate"]["high"]) == (5e-5, 5e-3)
    assert space["batch_size"] == [4, 8, 16]
    classes = class_folders(tmp_path / "classes")
    assert Engine("timm:resnet10t", classes, work_dir=tmp_path).framework.search_space()["batch_size"] == [8, 16, 32]
