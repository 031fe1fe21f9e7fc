"""Why our metrics of a weakly trained detector differ from those of Ultralytics' validator, step by step.

The objects are identical, and on the same objects both metrics agree except for the integration of the curve.
The rest is the input: the validator pads images beyond their own size, while predictions and artefacts use squares
without a border. Before every class of a box was ranked, as in the validator, that made the largest difference.
"""

# ruff: noqa: TID253 - the answers are compared with those of torch
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivetrain import Engine
from drivetrain.data import Dataset
from drivetrain.engines.ultralytics.predict import deploy
from drivetrain.images.read import read_image
from drivetrain.metrics import evaluate
from drivetrain.runs.progress import SilentProgress
from drivetrain.runtime.postprocess.base import boxes_to_original
from drivetrain.runtime.preprocess import preprocess
from drivetrain.testing import data
from drivetrain.types import Prediction, Predictions

pytestmark = pytest.mark.slow

SIDE, BORDER = 64, 16


class Weak:
    """A detector that has begun to find objects but barely knows their classes, and its images."""

    def __init__(self, root: Path) -> None:
        source = data.coco(root / "data", subsets={"train": 64, "val": 8, "test": 48}, size=96)
        self.engine = Engine("ultralytics:yolo11n", source, work_dir=root / "work")
        self.engine.progress = SilentProgress()
        options: dict[str, Any] = {"learning_rate": 0.005, "engine_args": {"warmup_epochs": 0, "mosaic": 0.0}}
        self.engine.train(6, batch_size=8, image_size=SIDE, **options)
        self.dataset: Dataset = self.engine.dataset.subset("test")
        self.metrics = self.engine.test()
        self.answers = self.engine.predict(self.dataset.paths, confidence=0.0)
        self.best_only = self.engine.predict(self.dataset.paths, confidence=0.001)

    def map_50(self, answers: Predictions) -> float:
        return evaluate(self.dataset, answers, task=self.engine.task, label_names=self.engine.label_names)["map_50"]


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Weak:
    return Weak(tmp_path_factory.mktemp("weak"))


def _by_ultralytics(weak: Weak, *, every_label: bool, border: int = 0) -> list[Prediction]:
    """Ultralytics' suppression with its validator's settings, on the outputs for our square inputs.

    With a border around the input, its boxes are not clipped to the image, as in the validator.

    Scores are rounded like ours, so that among neighbours with equal scores the same one is kept.
    """
    from ultralytics.utils.nms import non_max_suppression

    deployed = deploy(weak.engine.model)
    found = []
    for sample in weak.dataset:
        pixels = preprocess(read_image(sample.path), deployed.spec)
        padded = np.pad(pixels, ((0, 0), (border, border), (border, border)), constant_values=114 / 255)
        image = torch.from_numpy(padded[None])
        with torch.no_grad():
            raw = deployed.module(image)
        scores = raw[:, 4:]
        least = torch.full_like(scores[:, :1], 0.001) if every_label else scores.amax(1, keepdim=True).clamp(min=0.001)
        raw[:, 4:] = torch.where(scores >= least, scores.round(decimals=5), 0.0)
        rows = non_max_suppression(raw, 0.00099, 0.7, multi_label=every_label, max_det=300)[0].numpy()
        boxes = (rows[:, :4] - border) * np.float32(sample.size[0] / SIDE)
        if not border:
            boxes = boxes_to_original(rows[:, :4], deployed.spec, sample.size)
        found.append(
            Prediction(sample.path, sample.size, boxes=boxes, scores=rows[:, 4], labels=rows[:, 5].astype(np.int64))
        )
    return found


def _their_map_50(weak: Weak, answers: Sequence[Prediction]) -> float:
    """Ultralytics' matching and integration."""
    from ultralytics.models.yolo.detect import DetectionValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    validator = DetectionValidator(args={"task": "detect", "mode": "val", "save_dir": str(weak.engine.work_dir / "v")})
    rows: list[tuple[Any, ...]] = []
    for sample, answer in zip(weak.dataset, answers, strict=True):
        overlap = box_iou(torch.as_tensor(sample.boxes), torch.as_tensor(answer.boxes))
        found, truth = torch.as_tensor(answer.labels), torch.as_tensor(sample.box_labels)
        rows.append(
            (validator.match_predictions(found, truth, overlap), answer.scores, answer.labels, sample.box_labels)
        )
    correct, scores, labels, true = (np.concatenate(column) for column in zip(*rows, strict=True))
    return float(np.mean(ap_per_class(correct, scores, labels, true)[5][:, 0]))


def _rows(answer: Prediction) -> NDArray[np.float64]:
    assert answer.boxes is not None
    assert answer.scores is not None
    assert answer.labels is not None
    return np.column_stack([answer.labels, answer.scores, answer.boxes]).astype(np.float64)


@pytest.mark.parametrize("every_label", [True, False])
def test_the_objects_are_those_of_ultralytics_to_the_last(weak: Weak, every_label: bool) -> None:
    ours = weak.answers if every_label else weak.best_only
    theirs = _by_ultralytics(weak, every_label=every_label)
    assert sum(len(_rows(answer)) for answer in ours) > 300
    for mine, other in zip(ours, theirs, strict=True):
        assert len(_rows(mine)) == len(_rows(other))
        same = (np.abs(_rows(mine)[:, None] - _rows(other)[None]) < 0.01).all(axis=2)  # in any order among equal scores
        assert same.any(axis=1).all()
        assert same.any(axis=0).all()


def test_each_step_between_our_metric_and_that_of_the_validator(weak: Weak) -> None:
    """Its rectangles exceed the image by half a stride on each side: 96 pixels for an image of 64."""
    validator, ours = weak.metrics["upstream/mAP50(B)"], weak.metrics["map_50"]
    bordered = _their_map_50(weak, _by_ultralytics(weak, every_label=True, border=BORDER))
    square = _their_map_50(weak, weak.answers)
    steps = {
        "rounded scores": bordered - validator,
        "no border": square - bordered,
        "integration of the curve": ours - square,
        "the best class of a box only": weak.map_50(weak.best_only) - ours,
    }
    assert 0.1 < validator < 0.95, "not weakly trained"
    assert weak.map_50(weak.answers) == pytest.approx(ours)
    assert abs(steps["rounded scores"]) < 0.005, steps
    assert abs(steps["integration of the curve"]) < 0.01, steps
    assert abs(steps["the best class of a box only"]) > 0.001, steps  # how much depends on the training
