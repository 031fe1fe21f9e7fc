"""Saliency points at the object: models trained on generated shapes, and their artefacts, in the pointing game."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from drivetrain import Engine, Predictor, load
from drivetrain.runs.progress import SilentProgress
from drivetrain.types.explanation import Explanations

SIDE = 128
COLOURS = {"circle": (200, 40, 40), "square": (40, 160, 60), "triangle": (50, 70, 210)}
Box = tuple[int, int, int, int]


def picture(random: np.random.Generator, shape: str) -> tuple[Image.Image, Box]:
    """A shape somewhere on noise, and the box round it."""
    image = Image.fromarray(random.integers(70, 186, (SIDE, SIDE, 3), dtype=np.uint8))
    side = int(random.integers(44, 65))
    x, y = (int(random.integers(2, SIDE - side - 2)) for _ in range(2))
    box, pen = (x, y, x + side, y + side), ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[shape])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[shape])
    else:
        pen.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=COLOURS[shape])
    return image, box


def class_folders(root: Path) -> dict[str, Box]:
    """Shapes in folders of their names; the box on each image."""
    random, boxes = np.random.default_rng(0), {}
    for subset, count in (("train", 60), ("val", 10), ("test", 10)):
        for shape in COLOURS:
            (root / subset / shape).mkdir(parents=True)
            for number in range(count):
                path = root / subset / shape / f"{number}.png"
                image, boxes[str(path)] = picture(random, shape)
                image.save(path)
    return boxes


def coco(root: Path) -> dict[str, Box]:
    """The same with a box round each shape."""
    random, boxes = np.random.default_rng(0), {}
    categories = [{"id": number, "name": shape} for number, shape in enumerate(COLOURS, 1)]
    (root / "annotations").mkdir(parents=True)
    for subset, count in (("train", 60), ("val", 10), ("test", 6)):
        images: list[Any] = []
        annotations: list[Any] = []
        (root / "images" / subset).mkdir(parents=True)
        for number in range(count):
            shape = list(COLOURS)[number % 3]
            image, box = picture(random, shape)
            path = root / "images" / subset / f"{number}.png"
            image.save(path)
            boxes[str(path)] = box
            images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
            x, y, right, bottom = box
            annotations.append(
                {"id": number, "image_id": number, "category_id": number % 3 + 1, "iscrowd": 0}
                | {"bbox": [x, y, right - x, bottom - y], "area": (right - x) * (bottom - y)}
            )
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{subset}.json").write_text(json.dumps(document))
    return boxes


def share_on_object(found: Explanations, boxes: dict[str, Box]) -> float:
    """The share of the maps whose strongest pixel is on the object."""
    assert len(found)
    hits = []
    for item in found:
        (x, y), (left, top, right, bottom) = item.peak, boxes[item.path]
        hits.append(left <= x <= right and top <= y <= bottom)
    return float(np.mean(hits))


def trained(model: str, data: Path, work: Path, **options: Any) -> tuple[Engine, Predictor]:
    engine = Engine(model, str(data), work_dir=work)
    engine.progress = SilentProgress()
    engine.train(image_size=SIDE, batch_size=16, **options)
    return engine, load(engine.export().path, precision="f32")


@pytest.mark.slow
def test_a_classifier_and_its_artefact_point_at_the_shape(tmp_path: Path) -> None:
    boxes = class_folders(tmp_path / "shapes")
    engine, predictor = trained("timm:resnet10t", tmp_path / "shapes", tmp_path / "work", max_epochs=4)
    assert engine.test()["accuracy"] > 0.9
    exported = Engine(predictor, str(tmp_path / "shapes"))
    own, other = engine.explain(method="cam"), exported.explain(method="cam")
    assert share_on_object(own, boxes) >= 0.8
    assert share_on_object(other, boxes) >= 0.8
    for one, same in zip(own, other, strict=True):
        np.testing.assert_allclose(one.saliency, same.saliency, atol=1e-4)
    few = [item.path for item in own][::5]
    masked = [each.explain(few, method="rise") for each in (engine, exported)]
    assert [share_on_object(found, boxes) >= 0.8 for found in masked] == [True, True]
    for one, same in zip(*masked, strict=True):
        np.testing.assert_allclose(one.saliency, same.saliency, atol=5e-3)
    assert_alike(engine.embed(), exported.embed())


def assert_alike(own: Any, other: Any) -> None:
    """The same numbers from both, and the most alike image shows the same shape."""
    np.testing.assert_allclose(own.vectors, other.vectors, atol=1e-4)
    shapes: Sequence[str] = [Path(path).parent.name for path in own.paths]
    places, _ = own.neighbours(1)
    assert np.mean([shapes[place] == shape for place, shape in zip(places[:, 0], shapes, strict=True)]) > 0.8


@pytest.mark.slow
def test_a_detector_and_its_artefact_point_at_the_object(tmp_path: Path) -> None:
    boxes = coco(tmp_path / "shapes")
    engine, predictor = trained("yolo11n", tmp_path / "shapes", tmp_path / "work", max_epochs=40)
    assert engine.test()["map_50"] > 0.5
    exported = Engine(predictor, str(tmp_path / "shapes"))
    for each in (engine, exported):
        found = each.explain()
        assert {item.method for item in found} == {"rise"}
        assert share_on_object(found, boxes) >= 0.8
    one, same = engine.embed(), exported.embed()
    np.testing.assert_allclose(one.vectors, same.vectors, atol=1e-4 * max(1.0, float(np.abs(one.vectors).max())))
    upstream = engine.model.embed(one.paths[0], imgsz=SIDE, verbose=False)[0].cpu().numpy()
    cosine = upstream @ one.vectors[0] / np.linalg.norm(upstream) / np.linalg.norm(one.vectors[0])
    assert cosine > 0.99, "what YOLO.embed says itself"
