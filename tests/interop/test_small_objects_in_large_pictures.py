"""A picture of 4000 x 3000 pixels with objects of 20: tiles find them where the whole picture shows nothing."""

# ruff: noqa: TID253  (the network is made here)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from drivetrain import Engine, load

SIDE = 128
COUNT = 60


def _shapes(random: Any, size: tuple[int, int], count: int) -> tuple[Any, list[tuple[int, list[int]]]]:
    """Circles and squares of about 20 pixels on dark noise, none of them over another."""
    height, width = size
    image = Image.fromarray(random.integers(0, 60, (height, width, 3)).astype(np.uint8))
    pen, found = ImageDraw.Draw(image), []
    rows, columns = height // 32, width // 32
    for place in random.permutation(rows * columns)[:count]:
        side = int(random.integers(17, 24))
        top, left = (int(32 * part + random.integers(0, 32 - side)) for part in divmod(int(place), columns))
        label = int(random.integers(0, 2))
        corners = [left, top, left + side - 1, top + side - 1]
        (pen.ellipse if label == 0 else pen.rectangle)(corners, fill=(220, 210, 40) if label == 0 else (40, 60, 200))
        found.append((label, [left, top, side, side]))
    return np.asarray(image), found


def _write(root: Path, subsets: dict[str, int]) -> Path:
    random = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for subset, count in subsets.items():
        (root / "images" / subset).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        for number in range(count):
            pixels, found = _shapes(random, (SIDE, SIDE), int(random.integers(1, 5)))
            Image.fromarray(pixels).save(root / "images" / subset / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
            for label, box in found:
                row = {"id": len(rows) + 1, "image_id": number, "category_id": label + 1, "bbox": box, "iscrowd": 0}
                rows.append({**row, "area": box[2] * box[3]})
        names = [{"id": 1, "name": "circle"}, {"id": 2, "name": "square"}]
        document = {"images": images, "annotations": rows, "categories": names}
        (root / "annotations" / f"instances_{subset}.json").write_text(json.dumps(document), encoding="utf-8")
    return root


def _small_detector(width: int = 32) -> Any:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    def layer(given: int, made: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]

    torch.manual_seed(0)
    layers = [*layer(3, width // 2, 2), *layer(width // 2, width, 2), *layer(width, width, 2), *layer(width, width, 1)]
    backbone = nn.Sequential(*layers)
    backbone.out_channels = width  # type: ignore[assignment]
    return FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(((16, 24),), ((1.0,),)),
        min_size=SIDE,
        max_size=SIDE,
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_test=25,
        box_batch_size_per_image=32,
        box_detections_per_img=20,
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        box_head=TwoMLPHead(width * 25, 64),
        box_predictor=FastRCNNPredictor(64, 3),
    )


def _hits(answer: Any, truth: list[tuple[int, list[int]]]) -> int:
    """How many of the objects are found, by label and more than half of the box."""
    found = 0
    for label, (left, top, width, height) in truth:
        boxes = answer.boxes[answer.labels == label]
        low = np.maximum(boxes[:, :2], [left, top])
        high = np.minimum(boxes[:, 2:], [left + width, top + height])
        common = np.clip(high - low, 0, None).prod(axis=1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + width * height - common
        found += bool((common / union > 0.5).any())
    return found


@pytest.mark.slow
def test_tiles_find_what_the_whole_picture_does_not_show(tmp_path: Path) -> None:
    data = _write(tmp_path / "data", {"train": 80, "val": 8, "test": 8})
    engine = Engine(_small_detector(), data, work_dir=tmp_path / "run", device="cpu")
    engine.train(max_epochs=15, batch_size=8, image_size=SIDE, num_workers=0, learning_rate=2e-3)
    picture, truth = _shapes(np.random.default_rng(1), (3000, 4000), COUNT)
    artefact = load(engine.export().path, precision="f32")
    for model in (engine, artefact):
        assert _hits(model.predict(picture, confidence=0.5)[0], truth) == 0
        tiled = model.predict(picture, confidence=0.5, tile=(SIDE, 0.25))[0]
        assert _hits(tiled, truth) >= 0.9 * COUNT
        assert len(tiled.boxes) <= 1.1 * COUNT  # each once, and hardly anything else

    information = {
        row.tag: row.get("value") for row in ET.parse(artefact.artifact.model_path).iterfind(".//model_info/*")
    }
    tiling = artefact.artifact.tiling
    assert information["tile_size"] == str(tiling["size"])
    assert information["tiles_overlap"] == str(tiling["overlap"])
    assert information["max_pred_number"] == "300"
    assert "a tenth of the objects is smaller than 1" in tiling["reason"]
    part = picture[:512, :512]
    inside = [(label, box) for label, box in truth if box[0] + box[2] <= 512 and box[1] + box[3] <= 512]
    assert _hits(artefact.predict(part, confidence=0.5, tile="auto")[0], inside) >= 0.9 * len(inside)
