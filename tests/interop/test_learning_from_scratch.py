"""Models of every source learn shapes from random weights, and their artefacts reproduce the metric, in INT8 too.

Each floor is a good part of what the training reaches; random weights stay below half of it.
"""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from drivetrain import Engine, load
from drivetrain.testing.data import KEYPOINTS, class_maps, coco

SUBSETS = {"train": 120, "val": 16, "test": 40}
LABELS = {0: "circle", 1: "square"}


@dataclass(frozen=True)
class Case:
    """A model, how it is trained, and the least that it must reach.

    Attributes:
        make: gives the model: a name, or an object with random weights.
        data: ``"boxes"`` (with masks), ``"points"`` or ``"maps"``.
        metric: of its task, on the test images.
        floor: what a training must reach.
        options: of ``train``.
        args: of the constructor of a model that is made by name.
        smaller: how many times smaller its weights are in INT8 at least; 0 where it is not optimised here.
    """

    make: Callable[[], Any]
    data: str
    metric: str
    floor: float
    options: Mapping[str, Any]
    args: Mapping[str, Any] = field(default_factory=dict)
    smaller: float = 0.0


def _small_rcnn(width: int = 48) -> dict[str, Any]:
    """A backbone of five layers and a head for boxes, both small, for torchvision's own Mask and Keypoint R-CNN."""
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    def layer(given: int, made: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]

    torch.manual_seed(0)
    half = width // 2
    layers = [*layer(3, half, 2), *layer(half, width, 2), *layer(width, width, 1), *layer(width, width, 2)]
    backbone = nn.Sequential(*layers, *layer(width, width, 1))
    backbone.out_channels = width  # type: ignore[assignment]
    few = {"rpn_pre_nms_top_n_train": 100, "rpn_post_nms_top_n_train": 50, "rpn_pre_nms_top_n_test": 50}
    return {
        "backbone": backbone,
        "rpn_anchor_generator": AnchorGenerator(((16, 24, 32),), ((1.0,),)),
        "min_size": 64,
        "max_size": 64,
        **few,
        "rpn_post_nms_top_n_test": 25,
        "box_batch_size_per_image": 32,
        "box_detections_per_img": 10,
        "box_roi_pool": MultiScaleRoIAlign(["0"], 5, 2),
        "box_head": TwoMLPHead(width * 25, 96),
        "box_predictor": FastRCNNPredictor(96, 3),
    }


def mask_rcnn() -> Any:
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    heads = {"mask_head": MaskRCNNHeads(48, (48,), 1), "mask_predictor": MaskRCNNPredictor(48, 48, 3)}
    return MaskRCNN(**_small_rcnn(), mask_roi_pool=MultiScaleRoIAlign(["0"], 10, 2), **heads)


def keypoint_rcnn() -> Any:
    from torchvision.models.detection import KeypointRCNN
    from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    heads = {"keypoint_head": KeypointRCNNHeads(48, (48, 48)), "keypoint_predictor": KeypointRCNNPredictor(48, 4)}
    return KeypointRCNN(**_small_rcnn(), keypoint_roi_pool=MultiScaleRoIAlign(["0"], 10, 2), **heads)


def rt_detr() -> Any:
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 128],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[32, 64, 128],
        decoder_in_channels=[64, 64, 64],
        d_model=64,
        encoder_hidden_dim=64,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        decoder_layers=2,
        num_queries=20,
        num_denoising=20,
        id2label=LABELS,
    )
    return RTDetrV2ForObjectDetection(config)


SEGFORMER: dict[str, Any] = {
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 3, 4],
    "decoder_hidden_size": 64,
}
CASES = {
    "ssdlite": Case(
        lambda: "torchvision:ssdlite320_mobilenet_v3_large",
        "boxes",
        "map_50",
        0.5,
        {"max_epochs": 40, "image_size": 96},
    ),
    "rt-detr": Case(rt_detr, "boxes", "map_50", 0.7, {"max_epochs": 40, "learning_rate": 5e-4}, smaller=2.0),
    "mask-rcnn": Case(mask_rcnn, "boxes", "mask_map", 0.6, {"max_epochs": 30, "learning_rate": 2e-3}),
    "keypoint-rcnn": Case(keypoint_rcnn, "points", "keypoint_map", 0.4, {"max_epochs": 30, "learning_rate": 2e-3}),
    "lraspp": Case(
        lambda: "torchvision:lraspp_mobilenet_v3_large", "maps", "miou", 0.75, {"max_epochs": 20}, smaller=2.0
    ),
    "segformer": Case(
        lambda: "transformers:SegformerForSemanticSegmentation", "maps", "miou", 0.8, {"max_epochs": 20}, SEGFORMER, 2.0
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same scenes with boxes and masks, with keypoints, and with class maps."""
    root = tmp_path_factory.mktemp("shapes")
    return {
        "boxes": coco(root / "boxes", subsets=SUBSETS),
        "points": coco(root / "points", subsets=SUBSETS, keypoints=tuple(KEYPOINTS)),
        "maps": class_maps(root / "maps", subsets=SUBSETS),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_model_learns_shapes_and_its_artefacts_measure_the_same(
    name: str, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    data = folders[case.data]
    engine = Engine(case.make(), data, model_args=dict(case.args) or None, work_dir=tmp_path / "run", device="cpu")
    assert engine.test()[case.metric] < case.floor / 2
    engine.train(**{"batch_size": 8, "image_size": 64, "num_workers": 0, **case.options})
    reached = engine.test()[case.metric]
    assert reached >= case.floor
    for form in ("openvino", "onnx"):
        artefact = load(engine.export(form).path, precision="f32")
        measured = Engine(artefact, data, work_dir=tmp_path / form).test()[case.metric]
        assert measured == pytest.approx(reached, abs=1e-3), form
    if case.smaller:
        pytest.importorskip("nncf")
        report = engine.optimize().optimization
        print(name, report["before"], report["after"], report["bytes"], report["method"], report["layers"])
        assert report["drop"] <= 0.01
        assert report["bytes"]["before"] >= case.smaller * report["bytes"]["after"]
