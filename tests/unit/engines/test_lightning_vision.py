"""Detectors and segmentation models of torchvision behind the Lightning engine."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drivetrain import Engine
from drivetrain.engines.lightning.vision import torchvision_source
from drivetrain.engines.lightning.vision.adapter import Target, VisionAdapter
from drivetrain.engines.lightning.vision.fitted_heads import give_weights
from drivetrain.errors import CheckpointError, DataError, ModelError, OptionError
from drivetrain.testing.data import class_folders, coco

DETECTORS = (
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    pytest.param("ssd300_vgg16", marks=pytest.mark.slow),
    pytest.param("retinanet_resnet50_fpn", marks=pytest.mark.slow),
    pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
    pytest.param("maskrcnn_resnet50_fpn", marks=pytest.mark.slow),
    pytest.param("keypointrcnn_resnet50_fpn", marks=pytest.mark.slow),
)
SEGMENTERS = ("lraspp_mobilenet_v3_large", pytest.param("deeplabv3_mobilenet_v3_large", marks=pytest.mark.slow))
LABELS = ("a", "b", "c")
OTHERS = ("c", "d", "a", "e")


def _build(name: str, labels: tuple[str, ...], seed: int = 0) -> VisionAdapter:
    torch.manual_seed(seed)
    return torchvision_source.build(name, {}, labels, 2)


def _target(adapter: VisionAdapter, boxes: list[list[float]], size: int) -> Target:
    count = len(boxes)
    return {
        "number": torch.tensor(0),
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.zeros(count, dtype=torch.int64),
        "masks": torch.ones(count, size, size, dtype=torch.uint8),
        "keypoints": torch.full((count, adapter.keypoints or 1, 3), 10.0),
    }


def _side(name: str) -> int:
    """Pixels that a detector can work on; the layers of SSD300 shrink fewer to nothing."""
    return 300 if name == "ssd300_vgg16" else 160


@pytest.mark.parametrize("name", DETECTORS)
def test_a_batch_without_any_object_has_a_finite_loss(name: str) -> None:
    adapter, side = _build(name, LABELS), _side(name)
    adapter.net.train()
    losses = adapter.losses(torch.rand(2, 3, side, side), [_target(adapter, [], side)] * 2)
    total = torch.stack(list(losses.values())).sum()
    assert torch.isfinite(total)
    total.backward()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_batch_with_and_without_objects_is_learned_from(name: str) -> None:
    adapter, side = _build(name, LABELS), _side(name)
    adapter.net.train()
    targets = [_target(adapter, [[4, 4, 80, 80]], side), _target(adapter, [], side)]
    losses = adapter.losses(torch.rand(2, 3, side, side), targets)
    assert all(torch.isfinite(value) for value in losses.values())
    assert not any(name.startswith("loss") for name in losses)


@pytest.mark.parametrize("name", [*DETECTORS, *SEGMENTERS])
def test_a_head_for_other_labels_keeps_the_classes_that_both_have(name: str) -> None:
    ours, theirs = _build(name, LABELS), _build(name, OTHERS, seed=1)
    before = {key: value.clone() for key, value in ours.net.state_dict().items()}
    notes = give_weights(ours, theirs.net.state_dict(), ours=LABELS, theirs=OTHERS, origin="x")
    assert "the head keeps a, c; new, from random weights: b." in notes[0]
    rows, other_rows = ours.class_rows(LABELS), theirs.class_rows(OTHERS)
    given, now = theirs.net.state_dict(), ours.net.state_dict()
    assert set(rows) <= set(now)
    for key, value in now.items():
        if key not in rows:
            torch.testing.assert_close(value, given[key])
            continue
        mine, other, first = rows[key].split(value), other_rows[key].split(given[key]), rows[key].split(before[key])
        for label in ("a", "c"):
            place, there = rows[key].names.index(label), other_rows[key].names.index(label)
            torch.testing.assert_close(mine[:, place], other[:, there])
        new = rows[key].names.index("b")
        torch.testing.assert_close(mine[:, new], first[:, new])


def test_weights_of_another_architecture_are_refused() -> None:
    ours, theirs = _build("lraspp_mobilenet_v3_large", LABELS), _build("ssdlite320_mobilenet_v3_large", OTHERS)
    with pytest.raises(CheckpointError, match=r"x does not fit the model: .*Does it have a different architecture\?"):
        give_weights(ours, theirs.net.state_dict(), ours=LABELS, theirs=OTHERS, origin="x")


def test_an_object_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    net = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=7)
    engine = Engine(net, coco(tmp_path / "data"), work_dir=tmp_path / "work")
    with pytest.raises(ModelError, match=r"SSD has 7 classes, but there are 2 labels, which need 3 \(one for each"):
        engine.train(max_epochs=1)


def test_a_model_of_another_task_than_the_data_is_refused(tmp_path: Path) -> None:
    engine = Engine("torchvision:lraspp_mobilenet_v3_large", class_folders(tmp_path / "data"), work_dir=tmp_path / "w")
    with pytest.raises(Exception, match=r"task='semantic_segmentation'") as caught:
        engine.train(max_epochs=1)
    assert isinstance(caught.value, ValueError)


def test_another_task_than_the_models_is_refused(tmp_path: Path) -> None:
    name, data = "torchvision:ssdlite320_mobilenet_v3_large", coco(tmp_path / "data")
    with pytest.raises(OptionError, match=r"is a model for the task 'detection'. List models for it with: drivetrain"):
        Engine(name, data, task="instance_segmentation", work_dir=tmp_path / "work").train(max_epochs=1)


def test_an_unknown_argument_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"model_args of torchvision:fcos_resnet50_fpn has no option 'depht'"):
        torchvision_source.build("fcos_resnet50_fpn", {"depht": 3}, LABELS, 0)


def test_weights_come_from_a_local_file(tmp_path: Path) -> None:
    name = "ssdlite320_mobilenet_v3_large"
    theirs = _build(name, LABELS, seed=1)
    torch.save(theirs.net.state_dict(), tmp_path / "weights.pth")
    ours = torchvision_source.build(name, {"pretrained": str(tmp_path / "weights.pth")}, LABELS, 0)
    assert ours.pretrained
    for key, value in ours.net.state_dict().items():
        torch.testing.assert_close(value, theirs.net.state_dict()[key])


def test_asking_leaves_the_object_as_it_was() -> None:
    adapter = _build("ssdlite320_mobilenet_v3_large", LABELS)
    own: Any = adapter.net.transform
    adapter.net.eval()
    found = adapter.answers(torch.rand(1, 3, 64, 64))
    assert adapter.net.transform is own
    assert set(found[0]) == {"boxes", "scores", "labels"}


def test_a_size_that_a_model_cannot_take_is_refused_by_name(tmp_path: Path) -> None:
    engine = Engine("torchvision:ssd300_vgg16", coco(tmp_path / "data"), work_dir=tmp_path / "work")
    with pytest.raises(OptionError, match=r"image_size=64: ssd300_vgg16 does not take images of 64x64 pixels"):
        engine.train(max_epochs=1, image_size=64)


@pytest.mark.slow
def test_the_answers_are_those_of_torchvision(tmp_path: Path) -> None:
    """At the model's own size, on an image of that size, torchvision's own call says the same."""
    adapter = _build("ssdlite320_mobilenet_v3_large", LABELS)
    adapter.net.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (320, 320, 3)).astype(np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    with torch.no_grad():
        theirs = adapter.net([image])[0]
        spec = adapter.spec
        ready = (image - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
        ours = adapter.answers(ready[None])[0]
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key])


def test_loaders_of_a_user_are_refused_for_a_detector(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.zeros(4, 3, 8, 8)))
    with pytest.raises(DataError, match="on a data set that drivetrain reads, not on a DataLoader"):
        Engine("torchvision:ssdlite320_mobilenet_v3_large", loader, work_dir=tmp_path / "work").train(max_epochs=1)
